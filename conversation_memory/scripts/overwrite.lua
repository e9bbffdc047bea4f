-- needs: conversation, restored
--
-- Restore a conversation over one that is unchanged since the caller read it, or has expired.
--
-- KEYS  ..., order of the owner it gets, last
-- ARGV  id, owner, version ('' any), length of the field ('' any, -1 absent), its SHA-1 ('' any),
--       whether it gets an owner, and what restored.lua says
-- Returns 1, a refusal (conversation.lua), {'changed'} or {'digest'}.
local stored, refused = enter()
if refused then return refused end
local different = not stored.past and difference(stored)
if different then return different end
check_orders(KEYS[#KEYS])
redis.call('HDEL', content, id)
forget()
restore(content, recent, expiry, record, runs, ids, ARGV[6] == '1' and KEYS[#KEYS], 7)
return answer(1)
