-- beat.lua: a replica tells that it lives, and learns how many others do. Needs clock.lua.
--
-- KEYS[1]     replicas by the microsecond until which they count as alive     {gateway}:replicas
-- KEYS[2]     a word that this Redis keeps until it loses everything          {gateway}:alive
-- ARGV[1]     the replica's name                                              gateway-7d9f-x2x
-- ARGV[2]     how long it counts as alive, microseconds                       5000000
-- ARGV[3]     the word, if there is none yet                                  6f0c2ab1
--
-- Answers {its rank, counted from 0 by the names of the living; their number; the word; the microsecond it is}.
--   example     {1, 3, "6f0c2ab1", "1795000000123456"}
--
-- Law: ranks stay while nobody comes or goes. When nobody was heard of for so long it was Redis that was away, and all
-- are given the time to be heard of again. Who sees another word than before knows that everything was lost.

local LONGEST_MS = 400 * 24 * 3600 * 1000

local replica, alive_us, word = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local now = now_us()
local later = '(' .. string.format('%.0f', now)

if redis.call('ZCOUNT', KEYS[1], later, '+inf') == 0 then
  for _, other in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
    redis.call('ZADD', KEYS[1], now + alive_us, other)
  end
end
redis.call('ZADD', KEYS[1], now + alive_us, replica)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('PEXPIRE', KEYS[1], LONGEST_MS)
redis.call('SET', KEYS[2], word, 'NX')
redis.call('PEXPIRE', KEYS[2], LONGEST_MS)

local living = redis.call('ZRANGE', KEYS[1], 0, -1)
local rank = 0
for _, other in ipairs(living) do
  if other < replica then rank = rank + 1 end
end
return { rank, #living, redis.call('GET', KEYS[2]), now }
