-- look.lua: what is known of one bucket. Needs clock, bucket, demand and budget.lua.
--
-- KEYS[1]     the bucket                                  {search}:team-day:dollars:team=search
-- KEYS[2]     its leases, if it is a budget               {search}:team-day:dollars:team=search:leases
-- ARGV[1]     what it is, as in demand.lua                budget 0 50000000 1794960000 … enforce
-- ARGV[2]     the most holders to tell of                 100
--
-- Answers {level, spent, set aside, 1 loaded / 0 not, then for each holder: id, amount, microseconds of its lease}. The
-- level is the debt in micro-tokens, the slots taken, or what is spent and held.
--   example     {31001200, 31000000, 0, 1, "ex_01a2…", 1200, 11500000}
--
-- Law: changes nothing.

local demand = demand_of(ARGV[1])
demand.bucket, demand.leases = KEYS[1], KEYS[2]
local most, now = tonumber(ARGV[2]), now_us()
local later = '(' .. string.format('%.0f', now)

-- The ids whose leases end first, and when they do.
local function add_holders(answer, leases, amount_of)
  local found = redis.call('ZRANGEBYSCORE', leases, later, '+inf', 'WITHSCORES', 'LIMIT', 0, most)
  for index = 1, #found, 2 do
    answer[#answer + 1] = found[index]
    answer[#answer + 1] = amount_of(found[index])
    answer[#answer + 1] = found[index + 1] - now
  end
  return answer
end

if demand.is_rate then
  local debt, at = stored_debt(demand.bucket)
  return { unpaid(debt, at, demand.gain, demand.per, now), 0, 0, 1 }
elseif demand.is_slot then
  local taken = redis.call('ZCOUNT', demand.bucket, later, '+inf')
  return add_holders({ taken, 0, 0, 1 }, demand.bucket, function() return 1 end)
end

look_up(demand, '', now)
if not demand.loaded then return { 0, 0, 0, 0 } end
local held, aside = held_by(demand, redis.call('ZRANGEBYSCORE', demand.leases, '-inf', now))
local answer = { demand.spent + demand.held - held, demand.spent, demand.aside - aside, 1 }
return add_holders(answer, demand.leases, function(id)
  return tonumber(redis.call('HGET', demand.bucket, 'h:' .. id)) or 0
end)
