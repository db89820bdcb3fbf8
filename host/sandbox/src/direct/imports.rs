//! The imports of an adapted module: arguments out of the slots, the answer of the same
//! [`State`] that components ask, and the answer back into the guest's memory.

use wasmtime::{AsContextMut, Caller, Linker, component::Resource};

use super::{
    Import, Link, Word,
    guest::{Direct, tell_hook, wanted},
};
use crate::{
    abi::{Args, Broken, Flat, Lower, Reader},
    charge::Hold,
    contract::tollgate::policy::{
        cache, clock, endpoints, geo, http_call, kv, limits, log, metrics, random, secrets, shadow,
        types::{Destination, Header},
    },
    host::{CACHE_KEY_MAX, HeldReservation, State, exchange::Shown},
};

/// Makes the host functions known that adapted modules import.
///
/// # Errors
/// When one is defined already.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let name = |link: Link| (Link::MODULE, link.name());
    let (module, call) = name(Link::Call);
    linker.func_wrap(
        module,
        call,
        |mut caller: Caller<'_, State>, import: u32| {
            let answer = answer(&mut caller, known(import)?)?;
            give_answer(caller, answer)
        },
    )?;
    let (module, call) = name(Link::CallWaiting);
    linker.func_wrap_async(
        module,
        call,
        |mut caller: Caller<'_, State>, (import,): (u32,)| {
            Box::new(async move {
                let answer = answer_waiting(&mut caller, known(import)?).await?;
                give_answer(caller, answer)
            })
        },
    )?;
    let (module, give) = name(Link::Give);
    linker.func_wrap(module, give, |mut caller: Caller<'_, State>, at: u32| {
        caller.data_mut().direct()?.lowering.place(at);
        wanted(caller.as_context_mut())
    })?;
    Ok(())
}

/// How a call is answered.
enum Answer {
    Nothing,
    /// In the first slot.
    Number(u64),
    /// By what is lowered.
    Lowered,
}

fn known(import: u32) -> Result<Import, Broken> {
    Import::of(import).ok_or(Broken::NoSuchCase)
}

fn give_answer(mut caller: Caller<'_, State>, answer: Answer) -> wasmtime::Result<u64> {
    match answer {
        Answer::Nothing => Ok(0),
        Answer::Number(number) => {
            let map = caller.data_mut().direct()?.map;
            map.data_mut(&mut caller)[..8].copy_from_slice(&number.to_le_bytes());
            Ok(0)
        }
        Answer::Lowered => wanted(caller.as_context_mut()),
    }
}

/// The most that a function of the contract has, and the pointer to its result.
const SLOTS: usize = 13;

/// The flat arguments, the guest's memory, and the state.
fn open<'a>(
    caller: &'a mut Caller<'_, State>,
    slots: &'a mut [u64; SLOTS],
) -> wasmtime::Result<(Args<'a>, &'a mut State)> {
    tell_hook(caller);
    let &mut Direct { memory, map, .. } = caller.data_mut().direct()?;
    let (map, state) = map.data_and_store_mut(&mut *caller);
    if state.direct()?.is_between(map) {
        return Err(Broken::CalledBetween.into());
    }
    let lent = Word::Lent.read(map);
    let (bytes, _) = map.as_chunks::<8>();
    for (slot, bytes) in slots.iter_mut().zip(bytes) {
        *slot = u64::from_le_bytes(*bytes);
    }
    let budget = state.shared.bounds.memory_bytes;
    let (bytes, state) = memory.data_and_store_mut(caller);
    Ok((Args::new(slots, lent, Reader::new(bytes, budget)), state))
}

fn lowered<T: Lower>(state: &mut State, value: &T, at: u32) -> wasmtime::Result<Answer> {
    state.direct()?.lowering.result(value, at);
    Ok(Answer::Lowered)
}

fn answer(caller: &mut Caller<'_, State>, import: Import) -> wasmtime::Result<Answer> {
    let mut slots = [0; SLOTS];
    let (mut args, state) = open(caller, &mut slots)?;
    let args = &mut args;
    match import {
        Import::SessionDrop => Err(wasmtime::Error::msg("a plugin dropped its own session")),
        // The wrapper lets go of the message that is lent by itself.
        Import::MessageDrop => Err(Broken::NoSuchHandle.into()),
        Import::Header
        | Import::Headers
        | Import::Json
        | Import::JsonMany
        | Import::Body
        | Import::Fact => of_message(state, import, args),
        Import::LogWrite => {
            let level = log::Level::of(args.u32())?;
            let message = args.text()?.to_owned();
            log::Host::write(state, level, message, args.list()?)?;
            Ok(Answer::Nothing)
        }
        Import::MetricsCount => {
            let (name, labels) = (args.name()?, args.list()?);
            metrics::Host::count(state, name, labels, args.u64())?;
            Ok(Answer::Nothing)
        }
        Import::MetricsGauge => {
            let (name, labels) = (args.name()?, args.list()?);
            metrics::Host::gauge(state, name, labels, args.f64())?;
            Ok(Answer::Nothing)
        }
        Import::ClockNow => clock::Host::now_ms(state).map(Answer::Number),
        Import::ClockMonotonic => clock::Host::monotonic_us(state).map(Answer::Number),
        Import::RandomNext => random::Host::next_u64(state).map(Answer::Number),
        Import::RandomBytes => {
            let bytes = random::Host::bytes(state, args.u32())?;
            lowered(state, &bytes, args.u32())
        }
        Import::SecretsGet => {
            let secret = secrets::Host::get(state, args.name()?)?;
            lowered(state, &secret, args.u32())
        }
        Import::GeoLookup => {
            let place = geo::Host::lookup(state, args.name()?)?;
            lowered(state, &place, args.u32())
        }
        Import::ReservationDrop => {
            let held = reservation(state, args.u32())?;
            limits::HostReservation::drop(state, held)?;
            Ok(Answer::Nothing)
        }
        Import::CachePlan => {
            let plan = cache_plan(args)?;
            let taken = cache::Host::set_plan(state, plan)?;
            lowered(state, &taken, args.u32())
        }
        Import::ShadowSend => {
            let to = Destination {
                model: args.optional_text()?.map(str::to_owned),
                upstream: args.optional_text()?.map(str::to_owned),
            };
            let taken = shadow::Host::send_to(state, to)?;
            lowered(state, &taken, args.u32())
        }
        Import::EndpointsCandidates => {
            let candidates = endpoints::Host::candidates(state)?;
            lowered(state, &candidates, args.u32())
        }
        Import::EndpointsScore => {
            let taken = endpoints::Host::set_scores(state, args.list()?)?;
            lowered(state, &taken, args.u32())
        }
        _ => Err(Broken::NoSuchCase.into()),
    }
}

fn of_message(state: &mut State, import: Import, args: &mut Args<'_>) -> wasmtime::Result<Answer> {
    args.message()?;
    match import {
        Import::Header => {
            let name = args.text()?;
            let Shown {
                message,
                to,
                mut notes,
            } = state.shown()?;
            let value = message.header(name);
            notes.header(name, value);
            show(to, &value, args.u32())
        }
        Import::Headers => {
            state.enter_for(args.next_length())?;
            let names = args.texts()?;
            let mut room = state.room();
            let Shown {
                message,
                to,
                mut notes,
            } = state.shown()?;
            let mut values = Vec::with_capacity(names.len());
            for name in names {
                let value = message.header(name);
                notes.header(name, value);
                room.take(value.map_or(0, <[u8]>::len))?;
                values.push(value);
            }
            show(to, &values, args.u32())
        }
        Import::Json => {
            let mut shown = state.shown()?;
            let value = shown.json(args.text()?);
            show(shown.to, &value, args.u32())
        }
        Import::JsonMany => {
            state.enter_for(args.next_length())?;
            let fields = args.texts()?;
            let mut room = state.room();
            let mut shown = state.shown()?;
            let mut values = Vec::with_capacity(fields.len());
            for field in fields {
                values.push(room.json(&mut shown, field)?);
            }
            show(shown.to, &values, args.u32())
        }
        Import::Body => {
            let mut shown = state.shown()?;
            let piece = shown.body(args.u64(), args.u32());
            show(shown.to, &*piece, args.u32())
        }
        _ => {
            let name = args.text()?;
            let Shown {
                message,
                to,
                mut notes,
            } = state.shown()?;
            let value = message.fact(name);
            notes.fact(name, value);
            show(to, &value, args.u32())
        }
    }
}

/// Lowers what may be a part of the message itself.
fn show<T: Lower + ?Sized>(
    to: &mut Option<Direct>,
    value: &T,
    at: u32,
) -> wasmtime::Result<Answer> {
    let none = || wasmtime::Error::msg("the plugin runs as a component");
    to.as_mut().ok_or_else(none)?.lowering.result(value, at);
    Ok(Answer::Lowered)
}

async fn answer_waiting(
    caller: &mut Caller<'_, State>,
    import: Import,
) -> wasmtime::Result<Answer> {
    let mut slots = [0; SLOTS];
    let (mut args, state) = open(caller, &mut slots)?;
    let args = &mut args;
    match import {
        Import::KvGet => {
            let (key, at) = (args.name()?, args.u32());
            let value = kv::Host::get(state, key).await?;
            lowered(state, &value, at)
        }
        Import::KvPut => {
            let (key, value) = (args.name()?, args.bytes()?.to_vec());
            let (ttl, at) = (args.u32(), args.u32());
            let done = kv::Host::put(state, key, value, ttl).await?;
            lowered(state, &done, at)
        }
        Import::KvRemove => {
            let (key, at) = (args.name()?, args.u32());
            let done = kv::Host::remove(state, key).await?;
            lowered(state, &done, at)
        }
        Import::KvCompareAndPut => {
            let key = args.name()?;
            let expected = args.optional_bytes()?.map(<[u8]>::to_vec);
            let value = args.bytes()?.to_vec();
            let (ttl, at) = (args.u32(), args.u32());
            let done = kv::Host::compare_and_put(state, key, expected, value, ttl).await?;
            lowered(state, &done, at)
        }
        Import::KvIncrement => {
            let (key, by) = (args.name()?, args.u64().cast_signed());
            let (ttl, at) = (args.u32(), args.u32());
            let sum = kv::Host::increment(state, key, by, ttl).await?;
            lowered(state, &sum.map(i64::cast_unsigned), at)
        }
        Import::ReservationSettle => {
            let (held, used) = (reservation(state, args.u32())?, args.u64());
            let left = limits::HostReservation::settle(state, held, used).await?;
            Ok(Answer::Number(left))
        }
        Import::LimitsTake | Import::LimitsReserve | Import::LimitsRemaining => {
            of_limits(state, import, args).await
        }
        Import::LimitsHoldTokens => {
            let hold = hold(args)?;
            let at = args.u32();
            let held = state.hold(hold).await?;
            lowered(state, &held, at)
        }
        Import::HttpSend => {
            let request = http_request(args)?;
            let at = args.u32();
            let response = http_call::Host::send(state, request).await?;
            lowered(state, &response, at)
        }
        _ => Err(Broken::NoSuchCase.into()),
    }
}

async fn of_limits(
    state: &mut State,
    import: Import,
    args: &mut Args<'_>,
) -> wasmtime::Result<Answer> {
    let bucket = args.name()?;
    let amount = match import {
        Import::LimitsRemaining => 0,
        _ => args.u64(),
    };
    let limit = limit(args)?;
    let at = args.u32();
    match import {
        Import::LimitsTake => {
            let left = limits::Host::take(state, bucket, amount, limit).await?;
            lowered(state, &left, at)
        }
        Import::LimitsRemaining => {
            let left = limits::Host::remaining(state, bucket, limit).await?;
            lowered(state, &left, at)
        }
        _ => {
            let held = limits::Host::reserve(state, bucket, amount, limit).await?;
            lowered(state, &held.map(|held| held.rep() + FIRST_RESERVATION), at)
        }
    }
}

/// A name and a list, each a pointer and a length.
const COUNTER_SLOTS: usize = 4;

fn hold(args: &mut Args<'_>) -> Result<Hold, Broken> {
    let (bucket, limit) = (args.name()?, limit(args)?);
    let tokens = limits::Tokens {
        bytes_per_token: args.u64(),
        output: args.u64(),
    };
    let counter = args.optional(COUNTER_SLOTS, |args| {
        let (name, labels) = (args.name()?, args.list()?);
        Ok(limits::Counter { name, labels })
    })?;
    Ok(Hold::new(bucket, limit, tokens, counter))
}

fn limit(args: &mut Args<'_>) -> Result<limits::Limit, Broken> {
    Ok(limits::Limit {
        algorithm: limits::Algorithm::of(args.u32())?,
        amount: args.u64(),
        period_ms: args.u64(),
    })
}

/// Reservations are counted from 0, and 0 is no handle.
const FIRST_RESERVATION: u32 = 1;

fn reservation(state: &State, handle: u32) -> Result<Resource<HeldReservation>, Broken> {
    let held = handle
        .checked_sub(FIRST_RESERVATION)
        .map(Resource::new_borrow)
        .ok_or(Broken::NoSuchHandle)?;
    if state.reservations.has(&held) {
        Ok(held)
    } else {
        Err(Broken::NoSuchHandle)
    }
}

fn cache_plan(args: &mut Args<'_>) -> Result<cache::Plan, Broken> {
    Ok(cache::Plan {
        key: args.bytes_to(CACHE_KEY_MAX + 1)?.to_vec(),
        kind: cache::Kind::of(args.u32())?,
        ttl_ms: args.u64(),
        look_up: args.bool(),
        max_age_ms: args.optional_u64()?,
        store: args.bool(),
        stream_usage: args.bool(),
    })
}

fn http_request(args: &mut Args<'_>) -> Result<http_call::Request, Broken> {
    Ok(http_call::Request {
        method: args.text()?.to_owned(),
        url: args.text()?.to_owned(),
        headers: args.list::<Header>()?,
        body: args.bytes()?.to_vec(),
        timeout_ms: args.u32(),
    })
}
