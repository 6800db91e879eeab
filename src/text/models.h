// The models as parts of a pipeline.
#pragma once

#include <memory>

#include "text/pipeline.h"

namespace spate {

template <class Model>
class ModelOf final : public PieceModel {
 public:
  template <class... Arguments>
  explicit ModelOf(Arguments&&... arguments) : model_(std::forward<Arguments>(arguments)...) {}
  void encode(std::string_view piece, std::vector<Token>& out) const override {
    model_.encode(piece, out);
  }

 private:
  Model model_;
};

template <class Model, class... Arguments>
std::unique_ptr<PieceModel> make_model(Arguments&&... arguments) {
  return std::make_unique<ModelOf<Model>>(std::forward<Arguments>(arguments)...);
}

}  // namespace spate
