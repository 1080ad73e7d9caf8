-- clock.lua: what time it is. Stands before every script that asks.
--
-- Answers the microsecond since 1970     1795000000123456
--
-- Law: time is Redis' own, which all replicas share. Tests put another file in the place of this one.

local function now_us()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end
