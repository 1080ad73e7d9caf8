-- restore.lua: let a rate owe at least so much. Needs clock, bucket and demand.lua.
--
-- KEYS[1]     the bucket                                  {search}:team-requests:requests:team=search
-- ARGV[1]     the rate, as in demand.lua, with the debt in the place of its cost     rate 3000000 60000000 1 1 enforce
--
-- Answers 1; 0 when it owes as much already, and nothing is changed.
--
-- Law: of two debts the larger one stands.

local rate, now = demand_of(ARGV[1]), now_us()
if owed(KEYS[1], rate.gain, rate.per, now) >= rate.cost then return 0 end
owe(KEYS[1], rate.cost, rate.gain, rate.per, now)
return 1
