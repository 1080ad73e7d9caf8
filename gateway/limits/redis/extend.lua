-- extend.lua: hold more for an exchange, or nothing more. Needs clock, bucket, demand and budget.lua.
--
-- KEYS        the exchange's record, buckets, leases of budgets     as in demand.lua
-- ARGV[1]     the exchange's id                                     ex_01a2…
-- ARGV[2]     its lease on budgets, microseconds                    12000000
-- ARGV[3]     how long a hold that is never settled is remembered, milliseconds     3600000
-- ARGV[4..]   each demand, as in demand.lua                         budget 1200 50000000 1794960000 … enforce
-- then        for each, how much more (micro-tokens for rates)      800
--
-- Answers 0; or the number of the first demand, an enforced budget, that has no more room: then nothing is changed.
--
-- Law: rates and budgets that are not enforced always give, and so does a budget that is not loaded. What is not held
-- grows no more, nor what is settled. What is held under a lease that has ended, or was lost, is held again.

local id, lease_us, keep_ms = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local record = redis.call('GET', KEYS[1])
if record == 'settled' then return 0 end

local now = now_us()
local count = (#ARGV - 3) / 2
local demands = demands_from(4, count)
local amounts = record and amounts_of(record) or {}

-- Of a hold that was lost nobody knows more than what it began with; and a rate owes none of it any more.
local function held_of(index, demand)
  if amounts[index] then return amounts[index] end
  return demand.is_rate and 0 or demand.cost
end

for index, demand in ipairs(demands) do
  amounts[index] = held_of(index, demand)
  demand.more = tonumber(ARGV[3 + count + index])
  if demand.is_slot or amounts[index] < 0 then demand.more = 0 end
  if demand.is_budget and demand.more > 0 then
    take_up(demand, id, now)
    demand.missing = math.max(0, amounts[index] + demand.more - demand.mine)
    if demand.enforced and demand.loaded and fit_of(demand, demand.missing) ~= YES then return index end
  end
end

for index, demand in ipairs(demands) do
  if demand.more > 0 then
    amounts[index] = amounts[index] + demand.more
    if demand.is_rate then
      local debt = owed(demand.bucket, demand.gain, demand.per, now) + demand.more
      owe(demand.bucket, math.min(debt, MOST), demand.gain, demand.per, now)
    elseif demand.missing > 0 then
      hold(demand, id, demand.missing, now, lease_us)
    end
  end
end
remember(KEYS[1], amounts, keep_ms)
return 0
