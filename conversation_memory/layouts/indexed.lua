-- The search documents that a conversation has.
--
-- KEYS  record, root
-- Returns {what they are indexed as, facets, suffixes}.
local record = redis.call('HMGET', KEYS[1], 'token', 'indexed', 'facets')
local known = record[1] and redis.call('SMEMBERS', KEYS[2] .. 'documents:' .. record[1]) or {}
return {record[2] or '', record[3] or '', known}
