-- needs: forgets
-- Delete a conversation: its document and everything that goes with it.
-- ARGV  id, owner [, only if nobody wrote to it from this time on ('' any) [, 'ask' to only ask
--       [, only if it has this version]]]
-- Returns 1 if there was one, its token if search documents are left, 0 if there was none, -1 if it
-- may have been written to since, or a refusal (conversation.lua, forgets.lua).
local time = tonumber(ARGV[3])
local stored, refused = enter()
if refused then return refused end
-- Another program leaves no time of its write, but mostly another length of the field.
local is_older = stored.updated and stored.updated < (time or 0) and stored.length == stored.size
if time and stored.exists and not is_older then return -1 end
if ARGV[5] and stored.exists and stored.version ~= tonumber(ARGV[5]) then return -1 end
if ARGV[4] == 'ask' then return stored.exists and 1 or 0 end
refused = unnamed()
if refused then return refused end
check_orders()
local left = forget()
return answer(stored.exists and (left or 1) or 0)
