// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// FunctionRef: a borrowed callable, two words, never allocates.
//
// For callbacks that end before the call that takes them returns. It does not own what it refers to.
#pragma once

#include <memory>
#include <type_traits>
#include <utility>

namespace pagedb {

template <class Signature>
class FunctionRef;

/// A reference to anything callable as `R(Args...)`. The callable must outlive the reference.
template <class R, class... Args>
class FunctionRef<R(Args...)> {
 public:
  /// Refers to `callable`; implicit, so that a lambda can be passed where a FunctionRef is taken.
  template <class F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, FunctionRef> && std::is_invocable_r_v<R, F&, Args...>)
  FunctionRef(F&& callable) noexcept  // NOLINT(google-explicit-constructor)
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(callable)))),
        call_([](void* object, Args... args) -> R {
          return (*static_cast<std::remove_reference_t<F>*>(object))(std::forward<Args>(args)...);
        }) {}

  /// Calls what it refers to.
  R operator()(Args... args) const { return call_(object_, std::forward<Args>(args)...); }

 private:
  void* object_;
  R (*call_)(void*, Args...);
};

}  // namespace pagedb
