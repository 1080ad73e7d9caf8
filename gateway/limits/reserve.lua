-- reserve.lua: hold everything that one exchange wants, or nothing. Needs bucket.lua.
--
-- KEYS[1]     the exchange's record             {search}:exchange:ex_01a2…
-- KEYS[2..]   a bucket for each demand          {search}:team-requests:team
-- ARGV[1]     the exchange's id                 ex_01a2…
-- ARGV[2]     lease of a slot, microseconds     60000000
-- ARGV[3]     how long a hold that is never settled is remembered, milliseconds     3600000
-- ARGV[4..]   each demand in six words: kind, cost, size, gain, per, mode
--               "rate 1000000 60000000 1 1 enforce"     micro-tokens; gain micro-tokens in per microseconds
--               "slot 1 8 0 0 shadow"                   slots; modes other than enforce never refuse
--
-- Answers {1 held / 0 refused, then for each demand: 1 fits / 0 does not, level}. The level is the debt in
-- micro-tokens, or the slots taken: the new one when held, the untouched one when refused.
--
-- Law: a refusal changes nothing. A demand that does not fit and does not refuse is not held. The record says what is
-- held ("1000000 - 1": two demands held, the second not), so that the same id holds once, however often it asks;
-- after its settlement (record "settled") everything fits, and nothing is held.

local id, lease_us, keep_ms = ARGV[1], ARGV[2], ARGV[3]
local now = now_us()

local function read(index)
  local kind, cost, size, gain, per, mode =
    string.match(ARGV[index + 3], '^(%a+) (%d+) (%d+) (%d+) (%d+) (%a+)$')
  local demand = {
    bucket = KEYS[index + 1],
    slot = kind == 'slot',
    cost = tonumber(cost),
    size = tonumber(size),
    gain = tonumber(gain),
    per = tonumber(per),
    enforced = mode == 'enforce',
  }
  if demand.slot then
    redis.call('ZREMRANGEBYSCORE', demand.bucket, '-inf', now)
    demand.level = redis.call('ZCARD', demand.bucket)
  else
    demand.level = owed(demand.bucket, demand.gain, demand.per, now)
  end
  demand.fits = demand.level + demand.cost <= demand.size or demand.cost == 0
  return demand
end

local function take(demand)
  demand.level = demand.level + demand.cost
  if demand.slot then
    redis.call('ZADD', demand.bucket, now + lease_us, id)
    redis.call('PEXPIRE', demand.bucket, math.ceil(lease_us / 1000))
  elseif demand.cost > 0 then
    owe(demand.bucket, demand.level, demand.gain, demand.per, now)
  end
end

local function remember(demands)
  local held = {}
  for index, demand in ipairs(demands) do
    held[index] = demand.fits and string.format('%.0f', demand.cost) or '-'
  end
  redis.call('SET', KEYS[1], table.concat(held, ' '), 'PX', keep_ms)
end

local function recall(record, demands)
  local index = 0
  for held in string.gmatch(record, '%S+') do
    index = index + 1
    demands[index].fits = held ~= '-'
  end
end

local demands, refused = {}, false
for index = 1, #KEYS - 1 do
  demands[index] = read(index)
  refused = refused or (demands[index].enforced and not demands[index].fits)
end

local record = redis.call('GET', KEYS[1])
if record == 'settled' then
  refused = false
  for _, demand in ipairs(demands) do demand.fits = true end
elseif record then
  refused = false
  recall(record, demands)
elseif not refused then
  for _, demand in ipairs(demands) do
    if demand.fits then take(demand) end
  end
  remember(demands)
end

local answer = { refused and 0 or 1 }
for _, demand in ipairs(demands) do
  answer[#answer + 1] = demand.fits and 1 or 0
  answer[#answer + 1] = demand.level
end
return answer
