-- needs: common
-- For the archive: whole conversations, as many as fit into one reply, each as it is at one moment.
-- KEYS  content, recency index, then the record and open runs of each, then the runs of each
-- ARGV  how many bytes are enough, the index of the last run to read, how many fields of the record
--       to fetch, their names ('expires' first, then 'replies', 'bytes' last), then the id of each
-- Returns the time if one of them has a deadline, the scores, then of the first ones, at least of
-- one: false if nothing is stored; or field (false none), the list (false if its key has another
-- type), fields and values of the open runs (false without any), and the values of the fields of
-- the record (false if its key has another type).
local content, order = unpack(KEYS)
local enough, last, count = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local room = enough
local fields, first = {unpack(ARGV, 4, count + 3)}, count + 3
local stop = 2 * (#ARGV - first) + 2
local has_lists = redis.call('EXISTS', unpack(KEYS, stop + 1)) > 0  -- not in layout `hash`
local found = {false, false}

-- Of a list of more bytes, about as many runs as are enough.
local function runs_in(runs, bytes)
  if not has_lists then return {} end
  local stop = last
  if bytes and bytes > enough and last >= 0 then
    stop = math.min(last, math.floor((tolerant('LLEN', runs) or 0) * enough / bytes))
  end
  return tolerant('LRANGE', runs, 0, stop)
end

for i = 1, #ARGV - first do
  local id, record, open, runs = ARGV[first + i], KEYS[2 * i + 1], KEYS[2 * i + 2], KEYS[stop + i]
  local field = redis.call('HGET', content, id)
  local row = false
  if field or redis.call('EXISTS', record, runs) > 0 then
    local values = tolerant('HMGET', record, unpack(fields)) or false
    local texts = runs_in(runs, values and number(values[count]))
    local replies = values and values[2] and tolerant('HGETALL', open)
    row = {field, texts or false, replies or false, values}
    -- Only then: a user who may only read may lack TIME, which is not in @read.
    if values and values[1] then found[1] = found[1] or clock() end
    room = room - (field and #field or 0)
    for _, text in ipairs(texts or {}) do room = room - #text end
  end
  found[#found + 1] = row
  if room <= 0 then break end
end
found[2] = redis.call('ZMSCORE', order, unpack(ARGV, first + 1, first + #found - 2))
return found
