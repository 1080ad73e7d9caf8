-- settle.lua: put what an exchange really spent in the place of what it held, once. Needs clock, bucket, demand and
-- budget.lua.
--
-- KEYS        the exchange's record, buckets, leases of budgets     as in demand.lua
-- ARGV[1]     the exchange's id                                     ex_01a2…
-- ARGV[2]     how long the settlement is remembered, milliseconds   60000
-- ARGV[3..]   each demand, as in demand.lua, with what was spent in the place of its cost
--               rate 412000000 60000000 1 1 enforce
--
-- Answers three numbers for each budget that was charged: the number of its demand, and what was spent in its window
-- before and after. Nothing, when it was settled before: then nothing is changed.
--   example     {2, 31000000, 31000950}
--
-- Law: a bucket owes what was spent, whatever was held. Without a record (it was lost, or the reservation never got
-- here) nothing counts as held, and all that was spent is charged. A rate that is not held stays as it is; a budget
-- counts everything, as the ledger does. One that is not loaded remembers what was spent for whoever loads it. A
-- reservation that comes after its settlement finds "settled" and holds nothing.

local id, forget_ms = ARGV[1], ARGV[2]
local record = redis.call('GET', KEYS[1])
if record == 'settled' then return {} end

local now = now_us()
local amounts = record and amounts_of(record) or {}
local answer = {}

local function settle_rate(demand, held)
  if held < 0 or held == demand.cost then return end
  local debt = owed(demand.bucket, demand.gain, demand.per, now) - held + demand.cost
  owe(demand.bucket, math.min(math.max(0, debt), MOST), demand.gain, demand.per, now)
end

local function give_back(demand)
  redis.call('HDEL', demand.bucket, 'h:' .. id)
  redis.call('ZREM', demand.leases, id)
  if is_slice(id) then redis.call('HINCRBY', demand.bucket, 'aside', -demand.mine) end
  demand.held = demand.held - demand.mine
end

local function settle_budget(demand, index)
  take_up(demand, id, now)
  if demand.mine > 0 then give_back(demand) end
  if not demand.loaded then
    redis.call('HDEL', demand.bucket, 'start', 'spent')
    local number = redis.call('HINCRBY', demand.bucket, 'early', 1)
    redis.call('HSET', demand.bucket, 'held', demand.held, 'w:' .. id, string.format('%.0f %.0f', demand.cost, number))
    keep(demand, now)
  elseif demand.mine > 0 or demand.cost > 0 then
    if demand.begins then keep(demand, now) end
    local after = math.min(demand.spent + demand.cost, MOST)
    redis.call('HSET', demand.bucket, 'held', demand.held, 'spent', after)
    if after > demand.spent then
      for _, number in ipairs({ index, demand.spent, after }) do answer[#answer + 1] = number end
    end
  end
end

for index, demand in ipairs(demands_from(3, #ARGV - 2)) do
  if demand.is_rate then
    settle_rate(demand, amounts[index] or 0)
  elseif demand.is_slot then
    redis.call('ZREM', demand.bucket, id)
  else
    settle_budget(demand, index)
  end
end
redis.call('SET', KEYS[1], 'settled', 'PX', forget_ms)
return answer
