-- renew.lua: begin the leases of one exchange's slots anew.
--
-- KEYS[1]     the exchange's record             {search}:exchange:ex_01a2…
-- KEYS[2..]   the buckets of its slots          {search}:team-streams:team
-- ARGV[1]     the exchange's id                 ex_01a2…
-- ARGV[2]     lease of a slot, microseconds     60000000
-- ARGV[3]     how long a hold that is never settled is remembered, milliseconds     3600000
--
-- Answers 1; 0 when the exchange is settled, and nothing is changed.
--
-- Law: what still runs has its slot, even if its lease ended, or Redis lost it, in between.

local id, lease_us, keep_ms = ARGV[1], ARGV[2], ARGV[3]
if redis.call('GET', KEYS[1]) == 'settled' then return 0 end

local time = redis.call('TIME')
local ends = time[1] * 1000000 + time[2] + lease_us
for index = 2, #KEYS do
  redis.call('ZADD', KEYS[index], ends, id)
  redis.call('PEXPIRE', KEYS[index], math.ceil(lease_us / 1000))
end
redis.call('PEXPIRE', KEYS[1], keep_ms)
return 1
