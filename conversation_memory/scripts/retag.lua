-- needs: conversation, documents
-- Give search documents of a conversation the tag of its new owner, some at a time; with the last of
-- them the record. Whoever writes meanwhile does so for all.
-- ARGV  id, owner, cursor, version and schema as owner.lua returns them, tag for one who has none
-- Returns the next cursor, '0' at the end.
local stored = open()
if refusal(stored) or not stored.exists or not stored.token then return '0' end
local tag, registry = tag_of(owner, ARGV[6]), root .. 'documents:' .. stored.token
local cursor, suffixes = unpack(redis.call('SSCAN', registry, ARGV[3], 'COUNT', TAGGED))
mark(stored.token, tag, suffixes)
if cursor ~= '0' then return cursor end
redis.call('HSET', record, 'tag', tag)
if ARGV[5] ~= '' and stored.version == tonumber(ARGV[4]) then
  redis.call('HSET', record, 'indexed', indexed_as(ARGV[5], stored.version, stored.size))
  redis.call('SREM', stale, stored.token)
end
return cursor
