-- needs: conversation
--
-- Delete a conversation: its document and everything that goes with it.
--
-- ARGV  id, owner [, only if nobody wrote to it from this time on ('' at any) [, 'ask' to only ask]]
-- Returns 1 if there was one, 0 if not, -1 if it may have been written to since, or a refusal
-- (conversation.lua).
local time = tonumber(ARGV[3])
local stored, refused = enter()
if refused then return refused end

-- A program that knows no record leaves no time. That it wrote, the length of the field tells.
local function is_older()
  return stored.updated and stored.updated < time and stored.length == stored.size
end

if time and stored.exists and not is_older() then return -1 end
if ARGV[4] == 'ask' then return stored.exists and 1 or 0 end
check_orders()
redis.call('HDEL', content, id)
forget()
return answer(stored.exists and 1 or 0)
