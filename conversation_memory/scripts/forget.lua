-- needs: conversation
--
-- Take out of the orders what is gone: past its deadline, or its field was deleted by someone. The
-- order of deadlines follows the record where that says otherwise, or is lost.
--
-- KEYS  ... [, order in which the conversation was found], last
-- ARGV  id, owner, owner of that order ('' none)
-- Returns whether it was gone.
local stored = open()
if not stored.exists then
  forget()
elseif stored.expires then
  redis.call('ZADD', expiry, stored.expires, id)
else
  redis.call('ZREM', expiry, id)
end
if ARGV[3] ~= '' and (not stored.exists or stored.owner ~= ARGV[3]) then
  redis.call('ZREM', KEYS[#KEYS], id)
  if redis.call('EXISTS', KEYS[#KEYS]) == 0 then redis.call('HDEL', root .. 'owners', ARGV[3]) end
end
return stored.exists and 0 or 1
