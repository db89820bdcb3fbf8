use tollgate_sdk::prelude::*;

struct Mine<T>(T);

#[policy]
impl<T: Default + 'static> Policy for Mine<T> {
    type Settings = NoSettings;

    fn open(_settings: &'static NoSettings, _head: &Head) -> Self {
        Self(T::default())
    }
}

fn main() {}
