//! The contract's types: records, variants and enums, in the order of `sdk/wit`.

use super::{
    layout::{Layout, align_to, larger, variant_size},
    lift::{Broken, Lift, LiftList, Reader},
    lower::{Lower, Lowering},
};
use crate::contract::{
    Answer, Decision, Destination, Edit, Endpoint, Event, EventAction, EventsDecision, Head,
    Header, Refusal, Value, Verdict,
    tollgate::policy::{
        cache::{Error as CacheError, Kind as CacheKind},
        endpoints::Error as EndpointsError,
        geo::{Error as GeoError, Place},
        http_call::{Error as HttpError, Response as HttpResponse},
        kv::Error as KvError,
        limits::{Algorithm, Error as LimitError, Exceeded},
        log::Level,
        secrets::Error as SecretError,
        shadow::Error as ShadowError,
    },
};

macro_rules! record {
    ($record:ident $fields:tt $($how:ident),*) => {
        record!(@layout $record $fields);
        $(record!(@$how $record $fields);)*
    };
    (@layout $record:ident { $($field:ident: $type:ty),* $(,)? }) => {
        impl Layout for $record {
            const SIZE: usize = {
                let size = 0;
                $(let size = align_to(size, <$type>::ALIGN) + <$type>::SIZE;)*
                align_to(size, Self::ALIGN)
            };
            const ALIGN: usize = {
                let align = 1;
                $(let align = larger(align, <$type>::ALIGN);)*
                align
            };
        }
    };
    (@lift $record:ident { $($field:ident: $type:ty),* $(,)? }) => {
        impl Lift for $record {
            fn lift(from: &mut Reader<'_>, at: usize) -> Result<Self, Broken> {
                let offset = 0;
                $(
                    let offset = align_to(offset, <$type>::ALIGN);
                    let $field = <$type>::lift(from, at + offset)?;
                    let offset = offset + <$type>::SIZE;
                )*
                let _ = offset;
                Ok(Self { $($field),* })
            }
        }
        impl LiftList for $record {}
    };
    (@lower $record:ident { $($field:ident: $type:ty),* $(,)? }) => {
        impl Lower for $record {
            fn lower(&self, into: &mut Lowering, position: usize) {
                let offset = 0;
                $(
                    let offset = align_to(offset, <$type>::ALIGN);
                    self.$field.lower(into, position + offset);
                    let offset = offset + <$type>::SIZE;
                )*
                let _ = offset;
            }
        }
    };
}

macro_rules! variant {
    ($variant:ident $cases:tt $($how:ident),*) => {
        variant!(@layout $variant $cases);
        $(variant!(@$how $variant $cases);)*
    };
    (@layout $variant:ident { $($number:literal $case:ident $(($type:ty))?),* $(,)? }) => {
        impl Layout for $variant {
            const SIZE: usize = {
                let size = 0;
                $($(let size = larger(size, <$type>::SIZE);)?)*
                variant_size(size, Self::ALIGN)
            };
            const ALIGN: usize = {
                let align = 1;
                $($(let align = larger(align, <$type>::ALIGN);)?)*
                align
            };
        }
    };
    (@lift $variant:ident { $($number:literal $case:ident $(($type:ty))?),* $(,)? }) => {
        impl Lift for $variant {
            fn lift(from: &mut Reader<'_>, at: usize) -> Result<Self, Broken> {
                let payload = at + align_to(1, Self::ALIGN);
                let _ = payload;
                Ok(match u8::lift(from, at)? {
                    $($number => Self::$case $((<$type>::lift(from, payload)?))?,)*
                    _ => return Err(Broken::NoSuchCase),
                })
            }
        }
        impl LiftList for $variant {}
    };
    (@lower $variant:ident { $($number:literal $case:ident $(($type:ty))?),* $(,)? }) => {
        impl Lower for $variant {
            fn lower(&self, into: &mut Lowering, position: usize) {
                let payload = position + align_to(1, Self::ALIGN);
                let _ = payload;
                match self {
                    $(variant!(@pattern value $case $(($type))?) => {
                        into.case(position, $number);
                        $(<$type as Lower>::lower(value, into, payload);)?
                    })*
                }
            }
        }
    };
    (@pattern $value:ident $case:ident ($type:ty)) => { Self::$case($value) };
    (@pattern $value:ident $case:ident) => { Self::$case };
}

record!(Head {
    route: String, method: String, path: String, model: Option<String>, caller: Option<String>,
    tier: Option<String>, streaming: bool, body_bytes: Option<u64>, deadline_ms: u32,
} lower);
record!(Header { name: String, value: Vec<u8> } lift, lower);
variant!(Value { 0 Null, 1 Boolean(bool), 2 Number(f64), 3 Text(String), 4 Json(String) } lift, lower);
variant!(Edit {
    0 SetHeader(Header), 1 AppendHeader(Header), 2 RemoveHeader(String),
    3 SetJson((String, Value)), 4 RemoveJson(String), 5 ReplaceBody(Vec<u8>),
    6 SetFact((String, String)), 7 SetMethod(String), 8 SetPath(String), 9 SetStatus(u16),
} lift);
record!(Answer { status: u16, headers: Vec<Header>, body: Vec<u8> } lift);
record!(Refusal {
    status: u16, code: String, message: String, retry_after_ms: Option<u32>,
} lift);
record!(Destination { model: Option<String>, upstream: Option<String> } lift);
variant!(Verdict { 0 Next, 1 GoTo(Destination), 2 Reply(Answer), 3 Refuse(Refusal) } lift);
record!(Decision { verdict: Verdict, edits: Vec<Edit> } lift);
record!(Event { name: Option<String>, data: Vec<u8> } lift, lower);
variant!(EventAction { 0 Keep, 1 Replace(Vec<Event>), 2 Drop, 3 End(Vec<Event>) } lift);
record!(EventsDecision { actions: Vec<EventAction>, append: Vec<Event> } lift);

variant!(SecretError { 0 Denied, 1 Unavailable } lower);
record!(Place {
    country: Option<String>, region: Option<String>, continent: Option<String>,
    city: Option<String>,
} lower);
variant!(GeoError { 0 Invalid, 1 Unavailable } lower);
variant!(KvError { 0 Full, 1 TooLarge, 2 NotANumber, 3 Unavailable } lower);
record!(Exceeded { retry_after_ms: u64, remaining: u64 } lower);
variant!(LimitError { 0 Exceeded(Exceeded), 1 Invalid(String), 2 Unavailable } lower);
record!(HttpResponse { status: u16, headers: Vec<Header>, body: Vec<u8> } lower);
variant!(HttpError {
    0 Denied(String), 1 TimedOut, 2 TooLarge, 3 TooMany, 4 Failed(String),
} lower);
variant!(CacheError { 0 TooLarge, 1 TooLate } lower);
variant!(ShadowError { 0 Nowhere, 1 TooLate } lower);
record!(Endpoint {
    address: String, weight: u32, in_flight: u32, latency_ms: Option<f64>, running: Option<u32>,
    waiting: Option<u32>, cache_use: Option<f64>, tried: bool,
} lower);
variant!(EndpointsError { 0 NotNow, 1 Invalid } lower);

/// Enums that are passed flat.
pub(crate) trait Flat: Sized {
    /// # Errors
    /// There is no such case.
    fn of(case: u32) -> Result<Self, Broken>;
}

impl Flat for Level {
    fn of(case: u32) -> Result<Self, Broken> {
        match case {
            0 => Ok(Self::Debug),
            1 => Ok(Self::Info),
            2 => Ok(Self::Warn),
            3 => Ok(Self::Error),
            _ => Err(Broken::NoSuchCase),
        }
    }
}

impl Flat for CacheKind {
    fn of(case: u32) -> Result<Self, Broken> {
        match case {
            0 => Ok(Self::AsItCame),
            1 => Ok(Self::ChatCompletion),
            _ => Err(Broken::NoSuchCase),
        }
    }
}

impl Flat for Algorithm {
    fn of(case: u32) -> Result<Self, Broken> {
        match case {
            0 => Ok(Self::TokenBucket),
            1 => Ok(Self::SlidingWindow),
            _ => Err(Broken::NoSuchCase),
        }
    }
}
