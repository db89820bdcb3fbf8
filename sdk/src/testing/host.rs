//! The capabilities in native tests, with the signatures of the contract.

use super::world::{World, call};

pub(crate) mod log {
    use super::call;
    use crate::log::Level;

    pub(crate) fn write(level: Level, message: &str, _fields: &[(String, String)]) {
        call("log", |world| {
            world.logged.push((level, message.to_owned()))
        });
    }
}

pub(crate) mod metrics {
    use super::call;

    pub(crate) fn count(name: &str, _labels: &[(String, String)], by: u64) {
        call("metrics", |world| {
            *world.counters.entry(name.to_owned()).or_default() += by
        });
    }

    pub(crate) fn gauge(_name: &str, _labels: &[(String, String)], _value: f64) {
        call("metrics", |_| ());
    }
}

pub(crate) mod clock {
    use super::call;

    pub(crate) fn now_ms() -> u64 {
        call("clock", |world| world.now_ms())
    }

    pub(crate) fn monotonic_us() -> u64 {
        call("clock", |world| world.now_us)
    }
}

pub(crate) mod random {
    use super::call;

    /// splitmix64
    pub(crate) fn next_u64() -> u64 {
        call("random", |world| {
            world.random = world.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = world.random;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        })
    }

    pub(crate) fn bytes(length: u32) -> Vec<u8> {
        assert!(length <= 4096, "at most 4096 random bytes at once");
        (0..length).map(|_| next_u64() as u8).collect()
    }
}

pub(crate) mod secrets {
    use super::call;
    use crate::secrets::Error;

    pub(crate) fn get(name: &str) -> Result<Vec<u8>, Error> {
        call("secrets", |world| {
            world.secrets.get(name).cloned().ok_or(Error::Denied)
        })
    }
}

pub(crate) mod geo {
    use std::net::IpAddr;

    use super::call;
    use crate::geo::{Error, Place};

    pub(crate) fn lookup(address: &str) -> Result<Option<Place>, Error> {
        call("geo", |world| {
            let address: IpAddr = address.parse().map_err(|_| Error::Invalid)?;
            Ok(world.places.get(&address).cloned())
        })
    }
}

pub(crate) mod kv {
    use super::{World, call};
    use crate::{kv::Error, testing::world::Entry};

    fn present(world: &mut World, key: &str) -> Option<Vec<u8>> {
        let now = world.now_ms();
        world
            .kv
            .retain(|_, entry| entry.ends_ms.is_none_or(|end| end > now));
        world.kv.get(key).map(|entry| entry.value.clone())
    }

    fn store(world: &mut World, key: &str, value: &[u8], ttl_ms: u32) {
        let ends_ms = (ttl_ms > 0).then(|| world.now_ms() + u64::from(ttl_ms));
        world.kv.insert(
            key.to_owned(),
            Entry {
                value: value.to_vec(),
                ends_ms,
            },
        );
    }

    pub(crate) fn get(key: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(call("kv", |world| present(world, key)))
    }

    pub(crate) fn put(key: &str, value: &[u8], ttl_ms: u32) -> Result<(), Error> {
        call("kv", |world| store(world, key, value, ttl_ms));
        Ok(())
    }

    pub(crate) fn remove(key: &str) -> Result<(), Error> {
        call("kv", |world| world.kv.remove(key));
        Ok(())
    }

    pub(crate) fn compare_and_put(
        key: &str,
        expected: Option<&[u8]>,
        value: &[u8],
        ttl_ms: u32,
    ) -> Result<bool, Error> {
        call("kv", |world| {
            let is_expected = present(world, key).as_deref() == expected;
            if is_expected {
                store(world, key, value, ttl_ms);
            }
            Ok(is_expected)
        })
    }

    pub(crate) fn increment(key: &str, by: i64, ttl_ms: u32) -> Result<i64, Error> {
        call("kv", |world| {
            let Some(value) = present(world, key) else {
                store(world, key, by.to_string().as_bytes(), ttl_ms);
                return Ok(by);
            };
            let number: i64 = std::str::from_utf8(&value)
                .ok()
                .and_then(|text| text.parse().ok())
                .ok_or(Error::NotANumber)?;
            let sum = number.checked_add(by).ok_or(Error::NotANumber)?;
            if let Some(entry) = world.kv.get_mut(key) {
                entry.value = sum.to_string().into_bytes();
            }
            Ok(sum)
        })
    }
}

pub(crate) mod limits {
    use std::cell::Cell;

    use super::{World, call};
    use crate::{
        limits::{Counter, Error, Limit, Tokens},
        testing::{charges::Charge, limits::Bucket, world::arrange},
    };

    /// As in the gateway.
    const CHARGES_MAX: usize = 64;

    #[derive(Debug)]
    pub(crate) struct Reservation {
        bucket: String,
        held: u64,
        limit: Limit,
        is_settled: Cell<bool>,
    }

    impl Reservation {
        pub(crate) fn settle(&self, used: u64) -> u64 {
            self.is_settled.set(true);
            call("limits", |world| self.charge(world, used))
        }

        pub(crate) fn held(&self) -> u64 {
            self.held
        }

        fn charge(&self, world: &mut World, used: u64) -> u64 {
            let now = world.now_ms();
            let Some(bucket) = world.buckets.get_mut(&self.bucket) else {
                return 0;
            };
            bucket.settle(self.held, used, now);
            bucket.remaining(&self.limit, now)
        }
    }

    impl Drop for Reservation {
        fn drop(&mut self) {
            if !self.is_settled.get() {
                arrange(|world| self.charge(world, self.held));
            }
        }
    }

    fn bucket<'a>(
        world: &'a mut World,
        name: &str,
        limit: &Limit,
    ) -> Result<(&'a mut Bucket, u64), Error> {
        if limit.amount == 0 || limit.period_ms == 0 {
            return Err(Error::Invalid(
                "a limit has an amount and a period".to_owned(),
            ));
        }
        let now = world.now_ms();
        Ok((world.buckets.entry(name.to_owned()).or_default(), now))
    }

    pub(crate) fn take(name: &str, amount: u64, limit: Limit) -> Result<u64, Error> {
        call("limits", |world| {
            let (bucket, now) = bucket(world, name, &limit)?;
            bucket.take(&limit, amount, now).map_err(Error::Exceeded)?;
            Ok(bucket.remaining(&limit, now))
        })
    }

    pub(crate) fn reserve(name: &str, amount: u64, limit: Limit) -> Result<Reservation, Error> {
        call("limits", |world| {
            let (bucket, now) = bucket(world, name, &limit)?;
            bucket.hold(&limit, amount, now).map_err(Error::Exceeded)?;
            Ok(Reservation {
                bucket: name.to_owned(),
                held: amount,
                limit,
                is_settled: Cell::new(false),
            })
        })
    }

    pub(crate) fn hold_tokens(
        name: &str,
        limit: Limit,
        tokens: Tokens,
        counter: Option<&Counter>,
    ) -> Result<(), Error> {
        let during = arrange(|world| {
            let during = world.holds.as_ref();
            during.map(|(bytes, held)| (*bytes, held.len()))
        });
        let Some((body_bytes, count)) = during else {
            return Err(Error::Invalid(
                "tokens of an exchange are held when its request comes".to_owned(),
            ));
        };
        if count == CHARGES_MAX {
            return Err(Error::Invalid(
                "too many budgets are charged at once".to_owned(),
            ));
        }
        if tokens.bytes_per_token == 0 {
            return Err(Error::Invalid("a token has at least one byte".to_owned()));
        }
        let input = body_bytes.unwrap_or(0).div_ceil(tokens.bytes_per_token);
        let amount = input.saturating_add(tokens.output);
        let charge = Charge {
            reservation: reserve(name, amount, limit)?,
            input,
            counter: counter.cloned(),
        };
        arrange(|world| world.holds.as_mut().map(|(_, held)| held.push(charge)));
        Ok(())
    }

    pub(crate) fn remaining(name: &str, limit: Limit) -> Result<u64, Error> {
        call("limits", |world| {
            let (bucket, now) = bucket(world, name, &limit)?;
            Ok(bucket.remaining(&limit, now))
        })
    }
}

pub(crate) mod cache {
    use super::call;
    use crate::cache::{Error, Plan};

    const KEY_MAX: usize = 1 << 20;

    pub(crate) fn set_plan(plan: &Plan) -> Result<(), Error> {
        call("cache", |world| {
            if plan.key.len() > KEY_MAX {
                return Err(Error::TooLarge);
            }
            world.plan = Some(plan.clone());
            Ok(())
        })
    }
}

pub(crate) mod shadow {
    use super::call;
    use crate::{Destination, shadow::Error};

    /// What a model or an upstream may be called.
    fn is_name(name: &str) -> bool {
        (1..=256).contains(&name.len()) && !name.contains(char::is_control)
    }

    pub(crate) fn send_to(to: &Destination) -> Result<(), Error> {
        call("shadow", |world| {
            let names = || [&to.model, &to.upstream].into_iter().flatten();
            if names().next().is_none() || !names().all(|name| is_name(name)) {
                return Err(Error::Nowhere);
            }
            world.shadow = Some(to.clone());
            Ok(())
        })
    }
}

pub(crate) mod endpoints {
    use super::call;
    use crate::endpoints::Endpoint;

    /// As the contract's.
    #[derive(Debug)]
    pub(crate) enum Error {
        Invalid,
    }

    pub(crate) fn candidates() -> Vec<Endpoint> {
        call("endpoints", |world| world.endpoints.clone())
    }

    pub(crate) fn set_scores(scores: &[f64]) -> Result<(), Error> {
        call("endpoints", |world| {
            let is_sound = scores.iter().all(|score| score.is_finite());
            if scores.len() != world.endpoints.len() || !is_sound {
                return Err(Error::Invalid);
            }
            world.scores = scores.to_vec();
            Ok(())
        })
    }
}

pub(crate) mod http_call {
    use super::call;
    use crate::{
        http::{Error, Request, Response},
        testing::world::arrange,
    };

    /// The answer is taken out while it runs, so that it may use the world itself.
    pub(crate) fn send(request: &Request) -> Result<Response, Error> {
        let Some(mut answer) = call("http", |world| world.http.take()) else {
            return Err(Error::Denied(format!("{} is not on the list", request.url)));
        };
        let answered = answer(request);
        arrange(|world| {
            world.http.get_or_insert(answer);
        });
        answered
    }
}
