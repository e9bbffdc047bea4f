-- needs: forgets, documents
-- Give a conversation to another owner.
-- KEYS  ..., order of the new owner (or of nobody)
-- ARGV  id, owner, new owner ('' nobody), tag for one who has none (documents.lua)
-- Returns 1, 0 if there is no such conversation, a refusal (conversation.lua), or for retag.lua
-- 'version schema' if there are more search documents than are changed here. Until those are
-- changed, searches say that they may miss some.
local stored, refused = enter()
if refused then return refused end
if not stored.exists then return 0 end
check_orders(KEYS[14])
disown()
if ARGV[3] == '' then
  redis.call('HDEL', record, 'owner')
else
  redis.call('ZADD', KEYS[14], stored.updated or clock(), id)
  redis.call('HSET', record, 'owner', ARGV[3])
end
local schema, version = schema_of(stored), stored.version + 1
redis.call('HSET', record, 'version', version)
if stored.token then
  local wanted = tag_of(ARGV[3], ARGV[4])
  local is_done = retag(stored, wanted) == wanted
  redis.call('HSET', record, 'tag', is_done and wanted or string.format('-%d', version))
  if not is_done then
    redis.call('SADD', stale, stored.token)
    return answer(string.format('%d %s', version, schema or ''))
  end
end
if schema then redis.call('HSET', record, 'indexed', indexed_as(schema, version, stored.size)) end
return answer(1)
