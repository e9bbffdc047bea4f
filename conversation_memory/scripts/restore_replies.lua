-- needs: common
-- For the archive: open runs that are not known yet, of a conversation that exists, and questions
-- that go on with one that is known.
-- KEYS  content, record, open runs of the conversation, list of open runs, chunks of each run
-- ARGV  conversation id, then of each run its id, its name in the list, time of the question, state
--       of the one whose place it takes ('' for none), its state and question (replies.lua), and what
--       was said so far
-- Returns how many were opened.
local content, record, open, opened = unpack(KEYS)
local count = 0
redis.call('ZCARD', opened)
if redis.call('HEXISTS', content, ARGV[1]) == 0 then return 0 end
for k = 5, #KEYS do
  local run, reply, begun, place, state, question, text = unpack(ARGV, 7 * k - 33, 7 * k - 27)
  local known = redis.call('HGET', open, 'state:' .. run)
  if known and known == place then
    redis.call('HSET', open, 'question:' .. run, question, 'state:' .. run, state)
  elseif not known then
    redis.call('UNLINK', KEYS[k])
    redis.call('ZADD', opened, begun, reply)
    redis.call('HSET', open, 'question:' .. run, question, 'state:' .. run, state)
    redis.call('PERSIST', open)
    if text ~= '' then redis.call('XADD', KEYS[k], '1-1', 't', text) end
    count = count + 1
  end
end
if count > 0 then redis.call('HSET', record, 'replies', 1) end
return count
