-- needs: common
-- For the archive: whole conversations, as many as fit into one reply, each as it is at one moment.
-- KEYS  content, recency index, then record, runs and open runs of each
-- ARGV  how many bytes are enough, the index of the last run to read, how many fields of the record to fetch, their names ('expires'
--       first, then 'replies', 'bytes' last), then the id of each
-- Returns the time if one of them has a deadline, then of the first ones, at least of one: false
-- if nothing is stored; or field (false none), score (false none), the list (false if its key has
-- another type), fields and values of the open runs (false without any), and the values of the
-- fields of the record (none if its key has another type).
local content, order = unpack(KEYS)
local enough, last, count = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local room = enough
local fields = {unpack(ARGV, 4, count + 3)}
local found = {false}

-- The index of the last run to read: of a list of more bytes, about as many runs as are enough.
local function last_of(runs, bytes)
  if not bytes or bytes <= enough or last < 0 then return last end
  return math.min(last, math.floor((tolerant('LLEN', runs) or 0) * enough / bytes))
end

for i = count + 4, #ARGV do
  local id, record, runs, open = ARGV[i], unpack(KEYS, 3 * (i - count) - 9, 3 * (i - count) - 7)
  local field = redis.call('HGET', content, id)
  local row = false
  if field or redis.call('EXISTS', record, runs) > 0 then
    local values = tolerant('HMGET', record, unpack(fields))
    local texts = tolerant('LRANGE', runs, 0, last_of(runs, values and number(values[count])))
    local score = redis.call('ZSCORE', order, id)
    local replies = values and values[2] and tolerant('HGETALL', open)
    row = {field, score, texts or false, replies or false, unpack(values or {}, 1, count)}
    -- Only then: a user who may only read may lack TIME, which is not in @read.
    if row[5] then found[1] = found[1] or clock() end
    room = room - (field and #field or 0)
    for _, text in ipairs(texts or {}) do room = room - #text end
  end
  found[#found + 1] = row
  if room <= 0 then break end
end
return found
