-- Layout `list`: look for a run by its id, from an index towards the beginning. Only who decodes a
-- run can tell for sure: one that is not in short may have the id elsewhere, and one that is damaged
-- must not be passed over.
-- KEYS  runs
-- ARGV  index to look in front of, how many runs to look at, how a run of that id begins in short,
--       the id as JSON
-- Returns {index where to go on [, text of the run there, which may be it]}.
local ARRAY, OBJECT = ('[{'):byte(1, 2)
local before, opening, id = tonumber(ARGV[1]), ARGV[3], ARGV[4]
local start = math.max(0, before - ARGV[2])
local texts = redis.call('LRANGE', KEYS[1], start, before - 1)
local third, fourth = opening:byte(3, 4)
for i = #texts, 1, -1 do
  local text = texts[i]
  local first, _, a, b = text:byte(1, 4)
  -- Two bytes before all of them, as Lua copies what it compares.
  local is_short = a == third and b == fourth and text:sub(1, #opening) == opening
  local is_likely = is_short or first ~= ARRAY and (first ~= OBJECT or text:find(id, 1, true))
  if is_likely then return {start + i - 1, text} end
end
return {start}
