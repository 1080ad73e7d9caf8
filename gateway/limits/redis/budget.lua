-- budget.lua: the law of budget.py, and how budgets are kept. Stands before the scripts that need it; needs demand.lua.
--
-- A budget's bucket is a hash:
--   start, spent     the window, by the second at which it began, and what was spent in it; neither before it is loaded
--   held, aside      what is held, and how much of that in slices
--   h:ex_01a2…       what this exchange holds of it (or this slice: its id begins with "slice:")
--   w:ex_01a2…       what this exchange has spent of it, when it was settled before the budget was loaded; and the how
--                    manieth such settlement it was
--   early            how many there were, ever
--   example          HGETALL {search}:team-day:dollars:team=search
--                    start 1795046400  spent 31000000  held 1200  h:ex_01a2… 1200
--                    or, before it is loaded, held 0  early 3  w:ex_01a2… "950 3"
-- Its leases are a sorted set of those ids by the microsecond at which their lease ends. What is held is more than 0.
--
-- Law: held is the sum of h:, and each has a lease. What is held under a lease that has ended is taken back by whoever
-- comes next, before anything else. Both keys last for a window beyond the next one, or for ten minutes while the budget
-- is not loaded.

local UNLOADED_MS = 600 * 1000
local TAKEN_BACK_TOGETHER = 1000

local function is_slice(id) return string.sub(id, 1, 6) == 'slice:' end

-- Which window it is, and the one before it (nil: not known). A budget that has begun the window which the caller is in
-- stays there, though Redis' clock be behind.
local function window_at(edges, start, now)
  if now >= edges[4] * 1000000 then return edges[4], edges[3] end
  if now >= edges[3] * 1000000 then return edges[3], edges[2] end
  if now >= edges[2] * 1000000 or start == edges[2] then return edges[2], edges[1] end
  return edges[1], nil
end

-- The demand, with what its bucket says: `mine` is what this id holds.
local function look_up(demand, id, now)
  local known = redis.call('HMGET', demand.bucket, 'start', 'spent', 'held', 'aside', 'h:' .. id)
  local start = tonumber(known[1])
  local this, before = window_at(demand.edges, start, now)
  demand.start = this
  demand.begins = start ~= nil and start == before
  demand.loaded = start == this or demand.begins
  demand.spent = start == this and tonumber(known[2]) or 0
  demand.held = tonumber(known[3]) or 0
  demand.aside = tonumber(known[4]) or 0
  demand.mine = tonumber(known[5]) or 0
end

local function fit_of(demand, more)
  local beyond = demand.spent + demand.held + more - demand.amount
  if beyond <= 0 or more == 0 then return YES end
  if beyond <= demand.aside then return SET_ASIDE end
  return beyond <= demand.held and HELD or NO
end

local function ends_ms(demand, now)
  if not demand.loaded then return UNLOADED_MS end
  local edges = demand.edges
  local left_ms = (2 * edges[4] - edges[3]) * 1000 - math.floor(now / 1000)
  return math.max(UNLOADED_MS, math.min(left_ms, LONGEST_MS))
end

-- Both keys get their end, and a window that begins is written down.
local function keep(demand, now)
  if demand.loaded then
    redis.call('HSET', demand.bucket, 'start', demand.start, 'spent', demand.spent)
  end
  redis.call('PEXPIRE', demand.bucket, ends_ms(demand, now))
  redis.call('PEXPIRE', demand.leases, ends_ms(demand, now))
end

-- So much more is held by this id, and its lease begins anew.
local function hold(demand, id, more, now, lease_us)
  local first = demand.held == 0
  demand.held = demand.held + more
  redis.call('HSET', demand.bucket, 'held', demand.held, 'h:' .. id, demand.mine + more)
  if is_slice(id) then redis.call('HINCRBY', demand.bucket, 'aside', more) end
  redis.call('ZADD', demand.leases, now + lease_us, id)
  if demand.begins or not demand.loaded then
    keep(demand, now)
  elseif first then
    redis.call('PEXPIRE', demand.leases, ends_ms(demand, now))
  end
end

-- What these hold together, and how much of that is in slices.
local function held_by(demand, ids)
  local held, aside = 0, 0
  for _, id in ipairs(ids) do
    local amount = redis.call('HGET', demand.bucket, 'h:' .. id) or 0
    held = held + amount
    if is_slice(id) then aside = aside + amount end
  end
  return held, aside
end

local function take_back_ended(demand, now)
  while redis.call('ZCOUNT', demand.leases, '-inf', now) > 0 do
    local ended = redis.call('ZRANGEBYSCORE', demand.leases, '-inf', now, 'LIMIT', 0, TAKEN_BACK_TOGETHER)
    local held, aside = held_by(demand, ended)
    if held > 0 then redis.call('HINCRBY', demand.bucket, 'held', -held) end
    if aside > 0 then redis.call('HINCRBY', demand.bucket, 'aside', -aside) end
    redis.call('ZREM', demand.leases, unpack(ended))
    for index, id in ipairs(ended) do ended[index] = 'h:' .. id end
    redis.call('HDEL', demand.bucket, unpack(ended))
  end
end

-- The demand, with what is known of its budget by now. To be done before anything of it is changed.
local function take_up(demand, id, now)
  take_back_ended(demand, now)
  look_up(demand, id, now)
end
