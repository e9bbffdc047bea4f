-- needs: forgets, restored
-- For the archive: restore a conversation over one that is unchanged since it was read, or expired.
-- KEYS  ..., order of the owner it gets (or of nobody) [, a list with the runs]
-- ARGV  id, owner, what difference() compares, what restored.lua says
-- Returns 1, a refusal (conversation.lua, forgets.lua), {'changed'} or {'digest'}.
local stored, refused = enter()
if refused then return refused end
refused = not stored.past and difference(stored) or unnamed()
if refused then return refused end
local it = described(6, record, runs, ids, KEYS[14], KEYS[15])
if not is_staged(it) then return {'changed'} end
check_orders(KEYS[14])
forget()
restore(content, recent, expiry, {it})
return answer(1)
