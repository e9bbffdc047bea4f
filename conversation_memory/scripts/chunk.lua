-- needs: replies
-- Add a chunk to an open run, and extend the lease of its worker when half of it is over.
-- KEYS  content, what replies.lua says
-- ARGV  token of the claim, how long the lease is (ms), number of the chunk, its text ('' for none);
--       what replies.lua says
-- Returns 1, or the status of a run that the worker has not, 'absent' if it is not open.
redis.call('HLEN', KEYS[1])  -- fails in a shard that is closed
local state, question = read()
if not state then return 'absent' end
if state.status ~= 'claimed' then return state.status end
if state.token ~= ARGV[1] or not question then return 'taken' end
local now = clock()
if ARGV[4] ~= '' then add(state, tonumber(ARGV[3]), 't', ARGV[4]) end
if state.lease - now < ARGV[2] / 2 then
  state.lease = now + ARGV[2]
  keep(state)
end
return 1
