-- reserve.lua: hold everything that one exchange wants, or nothing. Needs clock, bucket, demand and budget.lua.
--
-- KEYS        the exchange's record, buckets, leases of budgets     as in demand.lua
-- ARGV[1]     the exchange's id                                     ex_01a2…
-- ARGV[2]     its lease on slots and budgets, microseconds          12000000
-- ARGV[3]     how long a hold that is never settled is remembered, milliseconds     3600000
-- ARGV[4..]   each demand, as in demand.lua                         rate 1000000 60000000 1 1 enforce
--
-- Answers two numbers for each demand: whether it fits (as in verdict.py: Fit), and the level: the
-- debt in micro-tokens, the slots taken, or what is spent and held. The new one when held, the untouched one otherwise.
--   example     {1, 3000000, 1, 31001200}
--
-- Law: what must fit and does not, or is not loaded, lets nothing be held, and changes nothing. A demand that does not
-- fit and does not refuse is not held. The record makes the same id hold once, however often it asks; after its
-- settlement everything fits, and nothing is held.

local id, lease_us, keep_ms = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local now = now_us()
local demands = demands_from(4, #ARGV - 3)

local function find(demand)
  if demand.is_rate then
    demand.more = demand.cost
    demand.level = owed(demand.bucket, demand.gain, demand.per, now)
    demand.fit = (demand.level + demand.cost <= demand.size or demand.cost == 0) and YES or NO
  elseif demand.is_slot then
    demand.more = 1
    redis.call('ZREMRANGEBYSCORE', demand.bucket, '-inf', now)
    demand.level = redis.call('ZCARD', demand.bucket)
    demand.fit = demand.level < demand.amount and YES or NO
  else
    take_up(demand, id, now)
    demand.more = math.max(0, demand.cost - demand.mine)
    demand.level = demand.loaded and demand.spent + demand.held or 0
    demand.fit = demand.loaded and fit_of(demand, demand.more) or UNLOADED
  end
end

local function take(demand)
  demand.level = demand.level + demand.more
  if demand.is_slot then
    redis.call('ZADD', demand.bucket, now + lease_us, id)
    redis.call('PEXPIRE', demand.bucket, math.ceil(lease_us / 1000))
  elseif demand.more > 0 and demand.is_rate then
    owe(demand.bucket, demand.level, demand.gain, demand.per, now)
  elseif demand.more > 0 then
    hold(demand, id, demand.more, now, lease_us)
  end
end

local function take_all()
  local amounts = {}
  for index, demand in ipairs(demands) do
    if demand.fit == YES then take(demand) end
    amounts[index] = demand.fit == YES and demand.cost or -1 - demand.fit
  end
  remember(KEYS[1], amounts, keep_ms)
end

local function recall(record)
  local amounts = record == 'settled' and {} or amounts_of(record)
  for index, demand in ipairs(demands) do
    local amount = amounts[index] or 0
    demand.fit = amount < 0 and -1 - amount or YES
  end
end

local stopped = false
for _, demand in ipairs(demands) do
  find(demand)
  stopped = stopped or demand.fit == UNLOADED or (demand.enforced and demand.fit ~= YES)
end

local record = redis.call('GET', KEYS[1])
if record then
  recall(record)
elseif not stopped then
  take_all()
end

local answer = {}
for _, demand in ipairs(demands) do
  answer[#answer + 1] = demand.fit
  answer[#answer + 1] = demand.level
end
return answer
