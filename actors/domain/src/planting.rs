//! How a place is written where a mistake can be planted. Without the feature `mutants`, which nothing that is shipped is
//! built with, the right expression alone is left.

/// `mutant!(Name, broken, right)`: what is right, or with the feature `mutants` what is broken if that mistake is planted.
/// Without `right` it is a statement that is not there otherwise.
#[cfg(not(feature = "mutants"))]
#[macro_export]
macro_rules! mutant {
    ($name:ident, $broken:expr, $right:expr $(,)?) => {
        $right
    };
    ($name:ident, $broken:expr $(,)?) => {};
}

/// `mutant!(Name, broken, right)`: what is right, or what is broken if that mistake is planted. Without `right` it is a
/// statement that is not there otherwise.
#[cfg(feature = "mutants")]
#[macro_export]
macro_rules! mutant {
    ($name:ident, $broken:expr, $right:expr $(,)?) => {
        if $crate::mutant::planted($crate::mutant::Mutant::$name) {
            $broken
        } else {
            $right
        }
    };
    ($name:ident, $broken:expr $(,)?) => {
        if $crate::mutant::planted($crate::mutant::Mutant::$name) {
            $broken
        }
    };
}
