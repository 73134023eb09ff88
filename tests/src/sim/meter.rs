//! For suites that count what the clients hold.

/// What is called around the code under test. The simulation itself counts nothing: who does has an
/// allocator for it.
#[derive(Clone, Copy, Debug)]
pub struct Meter {
    /// Runs code of the client of a device, and of the program on it; devices count from 0.
    pub run: fn(u64, &mut dyn FnMut()),
    /// Runs code of the simulation that such code has called.
    pub aside: fn(&mut dyn FnMut()),
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            run: |_, code| code(),
            aside: |code| code(),
        }
    }
}

impl Meter {
    pub(super) fn run<T>(self, device: u64, code: impl FnOnce() -> T) -> T {
        given_by(|once| (self.run)(device, once), code)
    }

    pub(super) fn aside<T>(self, code: impl FnOnce() -> T) -> T {
        given_by(self.aside, code)
    }
}

fn given_by<T>(run: impl FnOnce(&mut dyn FnMut()), code: impl FnOnce() -> T) -> T {
    let (mut code, mut result) = (Some(code), None);
    run(&mut || result = code.take().map(|code| code()));
    result.unwrap_or_else(|| panic!("a meter runs the code that it is given"))
}
