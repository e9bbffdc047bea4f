-- needs: conversation
-- Delete the search documents of a token that no conversation has (a renamed one still has its).
-- ARGV  id, owner, token [, 'ask' to delete nothing]
-- Returns 1 if no conversation has the token, -1 if some of them are left, else 0.
local token = ARGV[3]
if redis.call('HGET', root .. 'tokens', token) ~= id then return 0 end
local is_recorded = redis.call('HGET', record, 'token') == token
if is_recorded and redis.call('HEXISTS', content, id) == 1 then return 0 end
if ARGV[4] == 'ask' then return 1 end
if is_recorded then redis.call('HDEL', record, 'token', 'tag', 'facets', 'indexed') end
return unregister(token) and 1 or -1
