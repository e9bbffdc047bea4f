-- Around a write that changes nothing but the form of a conversation, in one MULTI: put back the
-- time of the last write and the deadline, as they are just before the write: expire() changes no
-- version, so that the caller may have read another deadline. Before the write they are marked, as
-- the version alone does not tell that write from the one of another writer, for whom it was refused.
--
-- ARGV  id, owner, 'before' | 'after', version before the write
local stored = open()
local mark = redis.call('HGET', record, 'keep')
if mark then redis.call('HDEL', record, 'keep') end
if ARGV[3] == 'before' then
  if stored.version == tonumber(ARGV[4]) then
    local score = redis.call('ZSCORE', recent, id)
    local times = {stored.updated or '', score or '', stored.expires or ''}
    redis.call('HSET', record, 'keep', table.concat(times, ' '))
  end
  return 1
end
if not mark or stored.version == tonumber(ARGV[4]) then return 0 end
local updated, score, deadline = mark:match('^(%S*) (%S*) (%S*)$')
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
