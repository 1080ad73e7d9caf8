-- probe.lua: does this Redis take writes? A replica, or one that is full or loading, answers PING as well.
--
-- KEYS[1]     a key of no meaning     gateway:probe
--
-- Law: raises what any other script would have raised.

redis.call('SET', KEYS[1], 1, 'PX', 1000)
return 1
