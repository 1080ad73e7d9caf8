-- load.lua: begin a budget with what the ledger says. Needs clock, bucket, demand and budget.lua.
--
-- KEYS[1]     the budget's bucket                         {search}:team-day:dollars:team=search
-- KEYS[2]     its leases                                  {search}:team-day:dollars:team=search:leases
-- ARGV[1]     the budget, as in demand.lua                budget 0 50000000 1794960000 … enforce
-- ARGV[2]     what was spent in the window that begins at its second edge     31000000
-- ARGV[3]     lease of what is under way, microseconds    12000000
-- ARGV[4..]   id and amount of each exchange that the ledger says is under way     ex_01a2…  1200
--
-- Answers 1; 0 when it was loaded already, and nothing is changed.
--
-- Law: what the ledger says is under way is held, as it is already (by renewal) or from now on; except what was settled
-- here since: that is spent. Whatever else was settled here is in what the ledger says was spent.

local demand = demand_of(ARGV[1])
demand.bucket, demand.leases = KEYS[1], KEYS[2]
local spent, lease_us = tonumber(ARGV[2]), tonumber(ARGV[3])
local now = now_us()

take_up(demand, '', now)
if demand.loaded then return 0 end

demand.loaded, demand.start = true, demand.edges[2]
for index = 4, #ARGV, 2 do
  local id, amount = ARGV[index], tonumber(ARGV[index + 1])
  local known = redis.call('HMGET', demand.bucket, 'w:' .. id, 'h:' .. id)
  if known[1] then
    spent = spent + known[1]
  elseif not known[2] and amount > 0 then
    hold(demand, id, amount, now, lease_us)
  end
end
demand.spent = math.min(spent, MOST)
keep(demand, now)

for _, field in ipairs(redis.call('HKEYS', demand.bucket)) do
  if string.sub(field, 1, 2) == 'w:' then redis.call('HDEL', demand.bucket, field) end
end
return 1
