-- Around a write that changes nothing but the form of a conversation, in one MULTI: put back the
-- time of the last write and the deadline. Before the write it leaves a mark, as the version alone
-- does not tell that write from the one of another writer, for whom it was refused.
--
-- ARGV  id, owner, 'before' | 'after', version before the write [, time of the write before ('' not
--       known), place in the order ('' none), deadline ('' none)]
local stored = open()
local marked = redis.call('HDEL', record, 'keep') == 1
if ARGV[3] == 'before' then
  if stored.version == tonumber(ARGV[4]) then redis.call('HSET', record, 'keep', 1) end
  return 1
end
if not marked or stored.version == tonumber(ARGV[4]) then return 0 end
local updated, score, deadline = ARGV[5], ARGV[6], ARGV[7]
if updated == '' then
  redis.call('HDEL', record, 'updated')
else
  redis.call('HSET', record, 'updated', updated)
end
if score ~= '' then
  redis.call('ZADD', recent, score, id)
  if owned then redis.call('ZADD', owned, score, id) end
end
if deadline ~= '' then
  redis.call('ZADD', expiry, deadline, id)
  expire(stored, deadline)
  redis.call('HSET', record, 'expires', deadline)
elseif stored.expires then
  redis.call('ZREM', expiry, id)
  expire(stored, nil)
  redis.call('HSET', record, 'expires', '')
end
return 1
