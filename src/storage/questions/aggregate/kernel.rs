//! How loops over many numbers are run; [their bodies](super::loops) are elsewhere. Each is written once, over [`LANES`]
//! independent lanes, in plain Rust or, where the compiler makes no vectors of that, [in vectors](super::doubles); `pulp` has it
//! compiled for several sets of vector instructions and picks the best that the CPU has when it is called: AVX-512, AVX2 or
//! SSE2 on x86-64, NEON on AArch64. As the lanes are the same everywhere, so are the results, to the last bit.

use pulp::{Arch, Simd, WithSimd};

/// Values that are worked on side by side: two vectors of AVX-512, four of AVX2.
pub(in crate::storage) const LANES: usize = 16;

/// A loop. It calls nothing that the compiler may leave as a call, closures included: that would be code without the
/// vector instructions.
pub trait Kernel<T> {
    type Output;

    /// Must be `#[inline(always)]`.
    fn over<S: Simd>(self, simd: S, xs: &[T]) -> Self::Output;
}

/// A loop and the values it goes over, as `pulp` takes it.
pub(super) struct Run<'a, T, K> {
    pub kernel: K,
    pub xs: &'a [T],
}

impl<T, K: Kernel<T>> WithSimd for Run<'_, T, K> {
    type Output = K::Output;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> K::Output {
        self.kernel.over(simd, self.xs)
    }
}

/// Runs a loop with the best instructions that this CPU has.
#[inline]
pub fn run<T, K: Kernel<T>>(kernel: K, xs: &[T]) -> K::Output {
    Arch::new().dispatch(Run { kernel, xs })
}
