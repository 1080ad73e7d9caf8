-- settle.lua: put what an exchange really spent in the place of what it held, once. Needs bucket.lua.
--
-- KEYS[1]     the exchange's record             {search}:exchange:ex_01a2…
-- KEYS[2..]   a bucket for each demand          {search}:team-tokens:team
-- ARGV[1]     the exchange's id                 ex_01a2…
-- ARGV[2]     how long the settlement is remembered, milliseconds     60000
-- ARGV[3..]   each demand in four words: kind, spent, gain, per
--               "rate 412000000 2000 3"       micro-tokens; gain micro-tokens in per microseconds
--               "slot 0 0 0"                  a slot is always freed
--
-- Answers 1; 0 when it was settled before, and nothing is changed.
--
-- Law: a bucket owes what was spent, whatever was held. Without a record (it was lost, or the reservation never got
-- here) nothing counts as held, and all that was spent is charged. A demand that is not held stays as it is. A
-- reservation that comes after its settlement finds "settled" and holds nothing.

local id, forget_ms = ARGV[1], ARGV[2]
local record = redis.call('GET', KEYS[1])
if record == 'settled' then return 0 end

local now = now_us()
local held = {}
for amount in string.gmatch(record or '', '%S+') do held[#held + 1] = amount end

for index = 1, #KEYS - 1 do
  local bucket, was_held = KEYS[index + 1], held[index] or '0'
  local kind, spent, gain, per = string.match(ARGV[index + 2], '^(%a+) (%d+) (%d+) (%d+)$')
  if kind == 'slot' then
    redis.call('ZREM', bucket, id)
  elseif was_held ~= '-' and was_held ~= spent then
    gain, per = tonumber(gain), tonumber(per)
    local debt = owed(bucket, gain, per, now) - was_held + spent
    owe(bucket, math.min(math.max(0, debt), MOST_DEBT), gain, per, now)
  end
end
redis.call('SET', KEYS[1], 'settled', 'PX', forget_ms)
return 1
