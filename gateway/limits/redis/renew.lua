-- renew.lua: begin the leases of one exchange anew. Needs clock, bucket, demand and budget.lua.
--
-- KEYS        the exchange's record, buckets, leases of budgets     as in demand.lua
-- ARGV[1]     the exchange's id                                     ex_01a2…
-- ARGV[2]     its lease on slots and budgets, microseconds          12000000
-- ARGV[3]     how long a hold that is never settled is remembered, milliseconds     3600000
-- ARGV[4..]   each demand, as in demand.lua                         slot 8 enforce
--
-- Answers 1; 0 when the exchange is settled, and nothing is changed.
--
-- Law: what still runs has what it held, even if its lease ended, or Redis lost it, in between. What the record says is
-- not held is not taken; without a record it is what was wanted.

local id, lease_us, keep_ms = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local record = redis.call('GET', KEYS[1])
if record == 'settled' then return 0 end

local now = now_us()
local amounts = record and amounts_of(record) or {}

local function renew_slot(demand)
  redis.call('ZADD', demand.bucket, now + lease_us, id)
  redis.call('PEXPIRE', demand.bucket, math.ceil(lease_us / 1000))
end

local function renew_budget(demand, amount)
  take_up(demand, id, now)
  if demand.mine > 0 then
    redis.call('ZADD', demand.leases, now + lease_us, id)
  elseif amount > 0 then
    hold(demand, id, amount, now, lease_us)
  end
end

for index, demand in ipairs(demands_from(4, #ARGV - 3)) do
  local amount = amounts[index] or demand.cost
  if demand.is_slot and amount >= 0 then
    renew_slot(demand)
  elseif demand.is_budget and amount >= 0 then
    renew_budget(demand, amount)
  end
end
redis.call('PEXPIRE', KEYS[1], keep_ms)
return 1
