-- trial.lua: may this user run our scripts, and does this Redis take writes? Asked at the start, by fitness.py.
--
-- KEYS[1]     a key of no meaning     gateway:probe
--
-- Answers {seconds, microseconds}: Redis' own time.
--
-- Law: runs every command that any other script runs, on one key that is gone afterwards; raises what they would
-- have raised.

local key = KEYS[1]

redis.call('SET', key, 1, 'PX', 1000)
redis.call('GET', key)
redis.call('DEL', key)

redis.call('HSET', key, 'held', 1)
redis.call('HINCRBY', key, 'held', 1)
redis.call('HGET', key, 'held')
redis.call('HMGET', key, 'held', 'spent')
redis.call('HKEYS', key)
redis.call('HDEL', key, 'held')

redis.call('ZADD', key, 1, 'lease')
redis.call('ZCARD', key)
redis.call('ZCOUNT', key, 0, 1)
redis.call('ZRANGE', key, 0, -1)
redis.call('ZRANGEBYSCORE', key, 0, 1)
redis.call('ZREMRANGEBYSCORE', key, 2, 3)
redis.call('PEXPIRE', key, 1000)
redis.call('ZREM', key, 'lease')

return redis.call('TIME')
