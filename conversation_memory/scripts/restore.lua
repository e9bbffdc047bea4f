-- needs: restored
-- For the archive: restore conversations where there are none.
-- KEYS  content, record of the first, recent, expiry, the call (conversation.lua), then of each the
--       record, the runs, their ids and the order of its owner (or of nobody, if it has none); of one
--       alone, a list with the runs
-- ARGV  of each what restored.lua says
-- Returns for each 1, or 0 if something was stored already: nothing is written then.
local content, _, recent, expiry, call = unpack(KEYS)
local before = redis.call('GET', call)
if before then return before end
local answers, free, first = {}, {}, 1
for k = 6, #KEYS - 3, 4 do
  local it = described(first, unpack(KEYS, k, k + 4))
  local is_free = is_staged(it) and redis.call('EXISTS', it.record, it.runs) == 0
    and redis.call('HEXISTS', content, it.id) == 0
  if is_free then free[#free + 1] = it end
  answers[#answers + 1] = is_free and '1' or '0'
  first = it.stop
end
restore(content, recent, expiry, free)
local answer = table.concat(answers)
redis.call('SET', call, answer, 'PX', 300000)
return answer
