-- Delete the search documents of a token that no conversation has any more.
--
-- ARGV  id, owner, token
-- Returns whether that was so.
local token = ARGV[3]
if redis.call('HGET', record, 'token') == token then
  if redis.call('HEXISTS', content, id) == 1 then return 0 end
  redis.call('HDEL', record, 'token', 'tag', 'facets', 'indexed')
end
unregister(token)
return 1
