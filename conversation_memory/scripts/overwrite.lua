-- needs: conversation, restored
-- For the archive: restore a conversation over one that is unchanged since it was read, or expired.
-- KEYS  ..., order of the owner it gets, last
-- ARGV  id, owner, what difference() compares, what restored.lua says
-- Returns 1, a refusal (conversation.lua), {'changed'} or {'digest'}.
local stored, refused = enter()
if refused then return refused end
local different = not stored.past and difference(stored)
if different then return different end
check_orders(KEYS[#KEYS])
forget()
restore(content, recent, expiry, {described(6, record, runs, ids, KEYS[#KEYS])})
return answer(1)
