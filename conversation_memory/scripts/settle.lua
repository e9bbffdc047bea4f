-- needs: conversation, replies, settles
-- Settle an open run without writing an output.
-- ARGV  id, owner, 1 to close it, layout; what settles.lua says
-- Returns 1, or a refusal.
local stored, refused = enter()
if refused then return refused end
if not stored.exists then return {'reply', 'absent'} end
refused = unsealed(stored, ARGV[4], question)
if refused then return refused end
settle(ARGV[3] == '1')
if status == 'removed' then redis.call('XTRIM', chunks, 'MAXLEN', 1) end  -- nobody wants the text
return answered(1)
