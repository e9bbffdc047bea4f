-- needs: common
-- Of a conversation in a shard that is closed, what is short; nobody writes it any more.
-- KEYS  content, record, recent, expiry, runs, ids, checkpoints, open runs
-- ARGV  id
-- Returns field, time of the last write, deadline, record, ids, open runs, and when the field, runs,
-- ids, checkpoints and open runs expire (0 never).
local content, record, recent, expiry, runs, ids, checkpoints, open = unpack(KEYS)
local id = ARGV[1]
local field = redis.call('HGET', content, id)
local times = field and redis.pcall('HPEXPIRETIME', content, 'FIELDS', 1, id) or {0}
local deadlines = {not times.err and times[1] > 0 and times[1] or 0}
for i, key in ipairs({runs, ids, checkpoints, open}) do
  deadlines[i + 1] = math.max(0, redis.call('PEXPIRETIME', key))
end
return {field, redis.call('ZSCORE', recent, id), redis.call('ZSCORE', expiry, id),
  redis.call('HGETALL', record), redis.call('GET', ids), redis.call('HGETALL', open), deadlines}
