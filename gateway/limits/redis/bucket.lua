-- bucket.lua: the arithmetic of bucket.py, and how rates are kept. Stands before the scripts that need it.
--
-- A rate's bucket is a string "debt at": micro-tokens that are owed, and the microsecond at which that was written.
--   example     GET {search}:team-requests:requests:team=search  ->  "3000000 1795000000123456"
--               three requests short of full
--
-- Law: numbers are whole and below 2^53, where doubles are exact. Every key has an end. A clock that went back pays
-- nothing, and what was written in its future is written anew, so that it does not stand still until then.

local MOST = 2 ^ 52
local LONGEST_MS = 400 * 24 * 3600 * 1000

local function unpaid(debt, at, gain, per, now)
  local elapsed = math.max(0, now - at)
  local paid = math.floor(elapsed / per) * gain + math.floor(elapsed % per * gain / per)
  return math.max(0, debt - paid)
end

local function stored_debt(bucket)
  local stored = redis.call('GET', bucket)
  if not stored then return 0, 0 end
  local debt, at = string.match(stored, '^(%d+) (%d+)$')
  return tonumber(debt), tonumber(at)
end

local function owe(bucket, debt, gain, per, now)
  if debt == 0 then
    redis.call('DEL', bucket)
  else
    local full_in_ms = math.min(math.ceil(debt / gain * per / 1000) + 1, LONGEST_MS)
    redis.call('SET', bucket, string.format('%.0f %.0f', debt, now), 'PX', full_in_ms)
  end
end

local function owed(bucket, gain, per, now)
  local debt, at = stored_debt(bucket)
  if at > now then owe(bucket, debt, gain, per, now) end
  return unpaid(debt, at, gain, per, now)
end
