-- load.lua: begin a budget with what the ledger says. Needs clock, bucket, demand and budget.lua.
--
-- KEYS[1]     the budget's bucket                         {search}:team-day:dollars:team=search
-- KEYS[2]     its leases                                  {search}:team-day:dollars:team=search:leases
-- KEYS[3]     the load's record, if it has an id          {search}:exchange:load_01a2…
-- ARGV[1]     the budget, as in demand.lua                budget 0 50000000 1794960000 … enforce
-- ARGV[2]     how long the record is kept, milliseconds   60000
-- ARGV[3]     what was spent in the window that begins at its second edge     31000000
-- ARGV[4]     lease of what is under way, microseconds    12000000
-- ARGV[5..]   id and amount of each exchange that the ledger says is under way     ex_01a2…  1200
--
-- Answers 1; 0 when it was loaded already, and nothing is changed, or when the load has only left its mark.
--
-- Law: what the ledger says is under way is held, as it is already (by renewal) or from now on; except what was settled
-- here since: that is spent. What else was settled here before the ledger was asked, is in what it says was spent. What
-- came here while it was asked may be in it or not: it is spent, so that nothing is missed. A load leaves its mark
-- before it asks: its record says how many settlements there were. If that was lost, all has to begin anew.

local demand = demand_of(ARGV[1])
demand.bucket, demand.leases = KEYS[1], KEYS[2]
local record, keep_ms, spent, lease_us = KEYS[3], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local now = now_us()

take_up(demand, '', now)
if demand.loaded then return 0 end

local mark = record and redis.call('GET', record)
if record and not mark then
  redis.call('SET', record, redis.call('HGET', demand.bucket, 'early') or 0, 'PX', keep_ms)
  keep(demand, now)
  return 0
end

-- What was spent, and the number of the settlement. To be asked once.
local function take_early(field)
  local amount, number = string.match(redis.call('HGET', demand.bucket, field), '^(%d+) (%d+)$')
  redis.call('HDEL', demand.bucket, field)
  return tonumber(amount), tonumber(number)
end

demand.loaded, demand.start = true, demand.edges[2]
for index = 5, #ARGV, 2 do
  local id, amount = ARGV[index], tonumber(ARGV[index + 1])
  local known = redis.call('HMGET', demand.bucket, 'w:' .. id, 'h:' .. id)
  if known[1] then
    spent = spent + take_early('w:' .. id)
  elseif not known[2] and amount > 0 then
    hold(demand, id, amount, now, lease_us)
  end
end

local since = mark and tonumber(mark) or math.huge
for _, field in ipairs(redis.call('HKEYS', demand.bucket)) do
  if string.sub(field, 1, 2) == 'w:' then
    local amount, number = take_early(field)
    if number > since then spent = spent + amount end
  end
end
demand.spent = math.min(spent, MOST)
keep(demand, now)
return 1
