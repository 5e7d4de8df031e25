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
    requires(!std::is_same_v<std::remove_cvref_t<F>, FunctionRef> && !std::is_function_v<std::remove_reference_t<F>> &&
             std::is_invocable_r_v<R, F&, Args...>)
  FunctionRef(F&& callable) noexcept  // NOLINT(google-explicit-constructor)
      : target_{.object = const_cast<void*>(static_cast<const void*>(std::addressof(callable)))},
        call_([](Target target, Args... args) -> R {
          return (*static_cast<std::remove_reference_t<F>*>(target.object))(std::forward<Args>(args)...);
        }) {}

  /// Refers to `function`.
  FunctionRef(R (&function)(Args...)) noexcept  // NOLINT(google-explicit-constructor)
      : target_{.function = &function},
        call_([](Target target, Args... args) -> R { return target.function(std::forward<Args>(args)...); }) {}

  /// Calls what it refers to.
  R operator()(Args... args) const { return call_(target_, std::forward<Args>(args)...); }

 private:
  union Target {
    void* object;
    R (*function)(Args...);
  };
  Target target_;
  R (*call_)(Target, Args...);
};

}  // namespace pagedb
