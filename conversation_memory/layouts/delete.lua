-- Delete a conversation: its document and everything that goes with it.
--
-- KEYS  content, record, recent [, order of the owner]
-- ARGV  id, owner ('' none)
-- Returns 1 if there was one, 0 if not, or {'owner', its owner} if that is another.
local content, record, recent = KEYS[1], KEYS[2], KEYS[3]
local id, owner = ARGV[1], ARGV[2]

local found = redis.call('HEXISTS', content, id)
local stored = redis.call('HGET', record, 'owner') or ''
if stored ~= owner and (found == 1 or stored ~= '') then return {'owner', stored} end
redis.call('HDEL', content, id)
redis.call('DEL', record)
redis.call('ZREM', recent, id)
if owner ~= '' then redis.call('ZREM', KEYS[4], id) end
return found
