"""What runs inside Redis: each change of the registry is one script, so it happens whole or not.

The keys, all with one hash tag and so on one slot of a cluster; `key` is "name/id" of a server:

=========  ===========================================================================
meta       hash: `revision` of the last change; `epoch`, that of the first; `swept`, the millisecond
           of the last attempt to sweep; `excused`, that from which on leases may end; `lease`, how
           many milliseconds they last for the name server that sweeps
entries    hash: key -> "fence revision state owner registered said": the state that is published,
           milliseconds, the state that the server says it has
records    hash: key -> the record as JSON
loads      hash: key -> the load as JSON
expiries   sorted set: key by the millisecond at which its lease ends
suspects   sorted set: the same of suspect entries, which are not in `expiries`
pins       sorted set: the same of pinned entries; `inf` if `pin` made it
names      sorted set of the keys, all with score 0: the servers of a name are a range
urls       hash: "name url" -> key, to see that a server was started again
expired    sorted set: key by the millisecond at which its lease ended by itself
replaced   sorted set: key by the millisecond at which another took its place
drained    sorted set: key by the millisecond at which `drain` drained it, or its lease ended
audit      list: the latest events, "milliseconds event key owner detail"
sweeper    string with a time to live: which name server ends leases
=========  ===========================================================================

Time is the server's own. A revision is the microsecond of its change, or one more than the last: it
rises even if Redis comes back empty, or as a replica that has missed something. Each change says
which one was before it, so that a name server notices what it has missed. Such numbers are text
in messages: Lua's `tostring` and `cjson` keep 14 digits. The first write of a script is the
revision, or one that cannot do harm alone: a Redis that is read-only or full refuses it before
anything is half done.
"""

from __future__ import annotations

from typing import Final

from .store import STILL

__all__ = [
    "DEREGISTER",
    "DRAIN",
    "EVERYTHING",
    "KEYS",
    "LOADS",
    "NOTE",
    "PIN",
    "REGISTER",
    "RENEW",
    "RESTORE",
    "SWEEP",
    "UNPIN",
]

_NAMES: Final = (
    "meta",
    "entries",
    "records",
    "loads",
    "expiries",
    "suspects",
    "pins",
    "names",
    "urls",
    "expired",
    "replaced",
    "drained",
    "audit",
    "sweeper",
)
KEYS: Final = tuple(f"{{wsremote}}:{name}" for name in _NAMES)
"""What each script is given, in this order."""

_AUDIT: Final = 10_000
"""Events of the audit that are kept."""

_REMEMBERED: Final = 24 * 3600 * 1000
"""Milliseconds for which it is known how a lease ended."""

_BEGIN: Final = (
    f"local {', '.join(_NAMES)} = unpack(KEYS)"
    """
local clock = redis.call('TIME')
local micros = clock[1] * 1000000 + clock[2]
local now = math.floor(micros / 1000)

local function text(number)
    return string.format('%.0f', number)
end

-- fence, revision, state, owner, registered, said; nil if there is no such entry
local function entry_of(key)
    return string.match(
        redis.call('HGET', entries, key) or '', '^(%d+) (%d+) (%a+) (%S+) (%d+) (%a+)$')
end

local function name_of(key)
    return string.match(key, '^[^/]*')
end
"""
)

_CHANGING: Final = (
    _BEGIN
    + f"local most_audit, remembered, still = {_AUDIT}, {_REMEMBERED}, {1000 * STILL:.0f}"
    + """
local channel = ARGV[1]

local function number_in_meta(field)
    return tonumber(redis.call('HGET', meta, field) or '')
end

-- Whether Redis was gone, or full, or no name server could reach it, until this moment.
local function was_still()
    local swept = number_in_meta('swept')
    return swept and math.abs(now - swept) > still
end

-- No lease ends while nobody can renew it, nor before all have had the time to.
local function may_end()
    return not was_still() and now >= (number_in_meta('excused') or 0)
end

local function step()
    local previous = string.match(redis.call('HGET', meta, 'revision') or '', '^%d+$') or '0'
    if #previous > 16 then
        previous = '0' -- Not ours: no number above 2^53 can be counted up.
    end
    local revision = text(math.max(tonumber(previous) + 1, micros))
    redis.call('HSET', meta, 'revision', revision)
    redis.call('HSETNX', meta, 'epoch', revision)
    return revision, previous
end

local function note(event, key, owner, detail)
    redis.call('RPUSH', audit, table.concat({text(now), event, key, owner, detail}, ' '))
    redis.call('LTRIM', audit, -most_audit, -1)
end

local function urls_of(key, record)
    local found = {}
    local fine, content = pcall(cjson.decode, record)
    if fine and type(content) == 'table' and type(content.urls) == 'table' then
        for _, url in ipairs(content.urls) do
            found[#found + 1] = name_of(key) .. ' ' .. tostring(url)
        end
    end
    return found
end

-- Publish an entry; `fence` is nil if it gets one now. It stands in one of three sorted sets.
local function write(kind, key, fence, state, owner, registered, said, record, set, expiry)
    local revision, previous = step()
    local entry = table.concat({fence or revision, revision, state, owner, registered, said}, ' ')
    redis.call('HSET', entries, key, entry)
    for _, other in ipairs({expiries, suspects, pins}) do
        if other ~= set then
            redis.call('ZREM', other, key)
        end
    end
    redis.call('ZADD', set, expiry, key)
    redis.call('HSET', records, key, record)
    redis.call('ZADD', names, 0, key)
    redis.call('PUBLISH', channel,
        table.concat({revision, previous, kind, key, entry, expiry, record}, '\\n'))
    return revision
end

local function leave(key)
    for _, url in ipairs(urls_of(key, redis.call('HGET', records, key) or '')) do
        if redis.call('HGET', urls, url) == key then
            redis.call('HDEL', urls, url)
        end
    end
end

local function finish(key)
    local revision, previous = step()
    leave(key)
    for _, hash in ipairs({entries, records, loads}) do
        redis.call('HDEL', hash, key)
    end
    for _, set in ipairs({expiries, suspects, pins, names}) do
        redis.call('ZREM', set, key)
    end
    -- What was drained is remembered from now on: the server may be back.
    redis.call('ZADD', drained, 'XX', now, key)
    redis.call('PUBLISH', channel,
        table.concat({revision, previous, 'gone', key, '', '', ''}, '\\n'))
    return revision
end

local function expire(key)
    note('expired', key, select(4, entry_of(key)) or '-', '')
    finish(key)
    redis.call('ZADD', expired, now, key)
end

local function is_over(key)
    local expiry = redis.call('ZSCORE', expiries, key)
    return expiry and tonumber(expiry) <= now and may_end()
end

-- Whether servers of another owner have a name. Leases of theirs that are over end here.
local function is_taken(name, owner)
    -- '0' is the character after '/'.
    local range = redis.call('ZRANGEBYLEX', names, '[' .. name .. '/', '(' .. name .. '0')
    for _, other in ipairs(range) do
        local _, _, state, holder = entry_of(other)
        if holder and state ~= 'pinned' then
            if not is_over(other) then
                return holder ~= owner -- All leases of a name have one owner.
            elseif holder ~= owner then
                expire(other)
            end
        end
    end
    return false
end
"""
)

REGISTER: Final = (
    _CHANGING
    + """
local key, owner, record = ARGV[2], ARGV[3], ARGV[4]
local ttl, most = tonumber(ARGV[5]), tonumber(ARGV[6])

if is_taken(name_of(key), owner) then
    note('refused', key, owner, 'the name is taken')
    return {'taken'}
end
if not redis.call('HGET', entries, key)
    and redis.call('ZCARD', expiries) + redis.call('ZCARD', suspects) >= most then
    note('refused', key, owner, 'there are too many')
    return {'full'}
end
local places = urls_of(key, record)
for _, url in ipairs(places) do
    local other = redis.call('HGET', urls, url)
    if other and other ~= key and entry_of(other) then
        note('replaced', other, select(4, entry_of(other)), url)
        finish(other)
        redis.call('ZADD', replaced, now, other)
    end
end
local state = redis.call('ZSCORE', drained, key) and 'draining' or 'ready'
local expiry = text(now + ttl)
local kind = entry_of(key) and 'changed' or 'registered'
leave(key)
local fence = write(kind, key, nil, state, owner, text(now), 'ready', record, expiries, expiry)
for _, url in ipairs(places) do
    redis.call('HSET', urls, url, key)
end
redis.call('ZREM', expired, key)
redis.call('ZREM', replaced, key)
note('registered', key, owner, table.concat(places, ' '))
return {'', fence, fence}
"""
)
"""ARGV: channel, key, owner, record, ttl in ms, the most leases."""

RENEW: Final = (
    _CHANGING
    + """
local expiry = text(now + tonumber(ARGV[2]))
local answers = {}
for key, fence, said, load in
    string.gmatch(ARGV[3], '([^\\n]*)\\n([^\\n]*)\\n([^\\n]*)\\n([^\\n]*)\\n') do
    local held, _, state, owner, registered = entry_of(key)
    local answer
    if not held or state == 'pinned' then
        answer = redis.call('ZSCORE', replaced, key) and 'replaced'
            or redis.call('ZSCORE', expired, key) and 'expired' or 'unknown'
    elseif held ~= fence then
        answer = tonumber(fence) < tonumber(held) and 'replaced' or 'unknown'
    else
        answer = ''
        local now_state = redis.call('ZSCORE', drained, key) and 'draining' or said
        if now_state ~= state then
            local record = redis.call('HGET', records, key) or ''
            answer = write(
                'changed', key, fence, now_state, owner, registered, said, record, expiries, expiry)
        else
            redis.call('ZADD', expiries, expiry, key)
            if state == 'draining' then -- What it says may be new; and it may have been suspect.
                local revision = select(2, entry_of(key))
                redis.call('HSET', entries, key,
                    table.concat({fence, revision, state, owner, registered, said}, ' '))
                redis.call('ZREM', suspects, key)
            end
        end
        redis.call('HSET', loads, key, load)
    end
    answers[#answers + 1] = answer
end
return table.concat(answers, '\\n')
"""
)
"""ARGV: channel, ttl in ms; key, fence, state and load of each, a line each. Gives a line for each:
why it is lost, or what was published. A lease whose time is over stays until somebody ends it."""

DEREGISTER: Final = (
    _CHANGING
    + """
local held, _, state, owner = entry_of(ARGV[2])
if held == ARGV[3] and state ~= 'pinned' then
    local revision = finish(ARGV[2])
    note('deregistered', ARGV[2], owner, '')
    return revision
end
return ''
"""
)
"""ARGV: channel, key, fence."""

DRAIN: Final = (
    _CHANGING
    + """
local key, draining, who = ARGV[2], ARGV[3] == '1', ARGV[4]
if is_taken(name_of(key), who) then
    note('refused', key, who, 'drain: the name is taken')
    return {'taken', ''}
end
local fence, _, state, owner, registered, said = entry_of(key)
if not fence or state == 'pinned' then
    return {fence and 'pinned' or 'unknown', ''}
end
local set, expiry = expiries, redis.call('ZSCORE', expiries, key)
if not expiry then
    set, expiry = suspects, redis.call('ZSCORE', suspects, key) or text(now)
end
local new = (draining or said == 'draining') and 'draining' or set == suspects and 'suspect' or said
local was = redis.call('ZSCORE', drained, key)
if draining then
    redis.call('ZADD', drained, now, key)
else
    redis.call('ZREM', drained, key)
end
if draining == (not was) then
    note(draining and 'drained' or 'undrained', key, who, '')
end
if new == state then
    return {'', ''}
end
local record = redis.call('HGET', records, key) or ''
return {'', write('changed', key, fence, new, owner, registered, said, record, set, expiry)}
"""
)
"""ARGV: channel, key, "1" or "0", owner of the token that wants it. Gives "taken", "unknown",
"pinned" or "", and what was published."""

SWEEP: Final = (
    _CHANGING
    + """
local me, ttl, suspect_for = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
-- By any name server: one that could have swept could also take renewals. And first of all, as it
-- needs memory: a Redis that is full refuses the whole script.
if was_still() or ARGV[7] == '1' then
    redis.call('HSET', meta, 'excused', text(now + tonumber(ARGV[6])))
end
redis.call('HSET', meta, 'swept', text(now))
local holder = redis.call('GET', sweeper)
local lease = number_in_meta('lease') or ttl
if holder and holder ~= me then
    return {0, 0, 0, lease}
end
redis.call('HSET', meta, 'lease', ttl)
redis.call('SET', sweeper, me, 'PX', ARGV[5])
if not may_end() then
    return {1, 0, 0, ttl}
end

-- Of each kind so many at a time: nobody waits long for this.
local function due(set)
    return redis.call('ZRANGEBYSCORE', set, '-inf', now, 'LIMIT', 0, 500)
end
local leases = due(expiries)
local before = redis.call('ZCARD', suspects)
-- Those that have ended within one ttl, or would have.
local lately = redis.call('ZCOUNT', expired, now - ttl, '+inf')
    + redis.call('ZCOUNT', suspects, now + suspect_for - ttl, '+inf')
local silent = redis.call('ZCOUNT', expiries, '-inf', now + ttl / 2) + lately
local all = redis.call('ZCARD', expiries) + lately
local hold = silent >= 3 and 2 * silent > all
for _, key in ipairs(leases) do
    local fence, _, state, owner, registered, said = entry_of(key)
    local gone = text(now + suspect_for)
    if hold and state == 'draining' then
        redis.call('ZREM', expiries, key)
        redis.call('ZADD', suspects, gone, key)
    elseif hold and fence then
        local record = redis.call('HGET', records, key) or ''
        write('changed', key, fence, 'suspect', owner, registered, said, record, suspects, gone)
    else
        expire(key)
    end
end
for _, key in ipairs(due(suspects)) do
    expire(key)
end
for _, key in ipairs(due(pins)) do
    finish(key)
end
for _, set in ipairs({expired, replaced}) do
    redis.call('ZREMRANGEBYSCORE', set, '-inf', now - remembered)
end
for _, key in ipairs(redis.call('ZRANGEBYSCORE', drained, '-inf', now - remembered)) do
    if not entry_of(key) then
        redis.call('ZREM', drained, key)
    end
end
return {1, hold and #leases > 0 and before == 0 and silent or 0, all, ttl}
"""
)
"""ARGV: channel, name of this name server, ttl, time of suspects, time as sweeper, time for all to
renew, all in ms; "1" if they need it as this name server could not write. The rule is that of
`store.is_mass_expiry`. Gives whether it was the sweeper, how many leases were silent if the first
became suspect, and of how many; and how long leases last for who sweeps."""

PIN: Final = (
    _CHANGING
    + """
local expiry = ARGV[2] == '' and 'inf' or text(now + tonumber(ARGV[2]))
local published = ''
if expiry == 'inf' and is_taken(name_of(ARGV[3]), ARGV[4]) then
    note('refused', ARGV[3], ARGV[4], 'pin: the name is taken')
    return {'taken', ''}
end
for place = 3, #ARGV, 3 do
    local key, owner, record = ARGV[place], ARGV[place + 1], ARGV[place + 2]
    local fence, _, state, holder = entry_of(key)
    local made = redis.call('ZSCORE', pins, key) == 'inf'
    if fence and state ~= 'pinned' or made and expiry ~= 'inf' then
        -- A server of this id has a lease; or what `pin` made stays as it is.
    elseif fence and holder == owner and redis.call('HGET', records, key) == record then
        redis.call('ZADD', pins, expiry, key)
    else
        published = write(fence and 'changed' or 'registered',
            key, nil, 'pinned', owner, text(now), 'ready', record, pins, expiry)
        if expiry == 'inf' then
            note('pinned', key, owner, '')
        end
    end
end
return {'', published}
"""
)
"""ARGV: channel, ms for which it lasts or "" for ever, then key, owner and record of each; of one
only if for ever. Gives "taken" or "", and what was published."""

UNPIN: Final = (
    _CHANGING
    + """
local published, count = '', 0
local name, owner = ARGV[2], ARGV[3]
if name ~= '' and is_taken(name, owner) then
    note('refused', name, owner, 'unpin: the name is taken')
    return {-1, ''}
end
for place = 4, #ARGV do
    local expiry = redis.call('ZSCORE', pins, ARGV[place])
    if expiry and (expiry == 'inf') == (name ~= '') then
        published = finish(ARGV[place])
        count = count + 1
        if expiry == 'inf' then
            note('unpinned', ARGV[place], owner, '')
        end
    end
end
return {count, published}
"""
)
"""ARGV: channel, the name for what `pin` made and "" for others, owner, then keys. Gives how many,
-1 if the name is taken, and what was published."""

RESTORE: Final = (
    _CHANGING
    + """
for place = 3, #ARGV, 6 do
    local key, fence, state, owner = ARGV[place], ARGV[place + 1], ARGV[place + 2], ARGV[place + 3]
    local registered, record = ARGV[place + 4], ARGV[place + 5]
    local set, expiry = expiries, text(now + tonumber(ARGV[2]))
    local wanted = not redis.call('HGET', entries, key)
        and not redis.call('ZSCORE', replaced, key) and not redis.call('ZSCORE', expired, key)
    local name = name_of(key)
    local range = redis.call('ZRANGEBYLEX', names, '[' .. name .. '/', '(' .. name .. '0')
    if state == 'pinned' then
        set, expiry = pins, 'inf'
    else
        for _, other in ipairs(range) do
            local _, _, kind, holder = entry_of(other)
            wanted = wanted and (kind == 'pinned' or holder == owner)
            if kind ~= 'pinned' then
                break
            end
        end
        for _, url in ipairs(urls_of(key, record)) do
            wanted = wanted and not redis.call('HGET', urls, url)
        end
    end
    if wanted then
        write('registered', key, fence, state, owner, registered, 'ready', record, set, expiry)
        if state ~= 'pinned' then
            for _, url in ipairs(urls_of(key, record)) do
                redis.call('HSET', urls, url, key)
            end
        end
        if state == 'draining' then
            redis.call('ZADD', drained, now, key)
        end
    end
end
return ''
"""
)
"""ARGV: channel, ttl in ms, then key, fence, state, owner, registered, record of each: what a name
server knew and Redis has lost. What Redis knows better stays as it is."""

EVERYTHING: Final = (
    _BEGIN
    + """
local function scores(set)
    return redis.call('ZRANGE', set, 0, -1, 'WITHSCORES')
end
return {
    redis.call('HGET', meta, 'epoch') or '', redis.call('HGET', meta, 'revision') or '0',
    text(micros),
    redis.call('HGETALL', entries), redis.call('HGETALL', records), redis.call('HGETALL', loads),
    scores(expiries), scores(suspects), scores(pins)
}
"""
)
"""The registry of one moment: epoch, revision, time, three hashes and three sorted sets."""

LOADS: Final = (
    _BEGIN
    + """
local found = redis.call('ZRANGEBYSCORE', expiries, ARGV[1], '+inf', 'WITHSCORES')
local said = {}
for first = 1, #found, 1000 do
    local keys = {}
    for place = first, math.min(first + 999, #found), 2 do
        keys[#keys + 1] = found[place]
    end
    for _, load in ipairs(redis.call('HMGET', loads, unpack(keys))) do
        said[#said + 1] = load
    end
end
return {
    redis.call('HGET', meta, 'epoch') or '', redis.call('HGET', meta, 'revision') or '0',
    text(micros), found, said
}
"""
)
"""ARGV: ms. What was renewed so that it ends no earlier: epoch, revision, time; keys and their
scores; loads, false for none."""

NOTE: Final = (
    _CHANGING
    + """
note('refused', ARGV[2], ARGV[3], ARGV[4])
return ''
"""
)
"""ARGV: channel, key, owner, why."""
