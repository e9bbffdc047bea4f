-- needs: conversation, documents
-- Give search documents of a conversation the tag of its new owner, some at a time; with the last of
-- them the record, unless it has got another owner since: then some have the tag of that one.
-- ARGV  id, owner, cursor, version and schema ('' not known) as owner.lua returns them, tag for one
--       who has none
-- Returns the next cursor, '0' at the end.
local stored = open()
if refusal(stored) or not stored.exists or not stored.token then return '0' end
local tag, registry = tag_of(owner, ARGV[6]), root .. 'documents:' .. stored.token
local cursor, suffixes = unpack(redis.call('SSCAN', registry, ARGV[3], 'COUNT', TAGGED))
mark(stored.token, tag, suffixes)
if cursor ~= '0' then return cursor end
local version = tonumber(ARGV[4])
if (number(stored.tag:match('^%-(%d+)$')) or 0) > version then return cursor end
redis.call('HSET', record, 'tag', tag)
-- As they were for the former owner, unless somebody has written since.
local indexed = ARGV[5] ~= '' and indexed_as(ARGV[5], version - 1, stored.size)
if stored.version == version and stored.indexed == indexed then
  redis.call('HSET', record, 'indexed', indexed_as(ARGV[5], stored.version, stored.size))
  redis.call('SREM', stale, stored.token)
end
return cursor
