-- bucket.lua: the arithmetic of bucket.py, and how buckets are kept. Stands before reserve.lua and settle.lua.
--
-- A rate's bucket is a string "debt at": micro-tokens that are owed, and the microsecond at which that was written.
--   example     GET {search}:team-requests:team  ->  "3000000 1795000000123456": three requests short of full
-- Slots are a sorted set of exchange ids by the microsecond at which their lease ends.
--   example     ZRANGE {search}:team-streams:team 0 -1 WITHSCORES  ->  ex_01a2…  1795000060123456
--
-- Law: time is Redis' own. Numbers are whole and below 2^53, where doubles are exact. Every key has an end.

local MOST_DEBT = 2 ^ 52
local LONGEST_MS = 400 * 24 * 3600 * 1000

local function now_us()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

local function owed(bucket, gain, per, now)
  local stored = redis.call('GET', bucket)
  if not stored then return 0 end
  local debt, at = string.match(stored, '^(%d+) (%d+)$')
  local elapsed = math.max(0, now - at)
  local paid = math.floor(elapsed / per) * gain + math.floor(elapsed % per * gain / per)
  return math.max(0, debt - paid)
end

local function owe(bucket, debt, gain, per, now)
  if debt == 0 then
    redis.call('DEL', bucket)
  else
    local full_in_ms = math.min(math.ceil(debt / gain * per / 1000) + 1, LONGEST_MS)
    redis.call('SET', bucket, string.format('%.0f %.0f', debt, now), 'PX', full_in_ms)
  end
end
