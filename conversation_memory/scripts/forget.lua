-- needs: forgets
-- Remove an expired or deleted conversation from the orders, or correct the deadline of another.
-- KEYS  ..., order in which the conversation was found (or of nobody)
-- ARGV  id, owner, owner of that order ('' none)
-- Returns 1 if it was removed, its token if search documents are left, else 0; or a refusal (forgets.lua).
local stored = open()
-- Nobody has asked to delete what is left of open runs if the record was lost: the check names it.
has_replies = tolerant('HGET', record, 'replies')
local refused = not stored.exists and unnamed()
if refused then return refused end
local left = nil
if stored.exists then list_deadline(stored.expires) else left = forget() end
if ARGV[3] ~= '' and (not stored.exists or stored.owner ~= ARGV[3]) then leave(KEYS[14], ARGV[3]) end
return stored.exists and 0 or left or 1
