// Ranks texts by their similarity to a query: search MODEL QUERY TEXT...

#include <encoderfile.h>

#include <algorithm>
#include <cstdio>
#include <numeric>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace encoderfile {

// What a call says of its failure, as an exception.
class Error : public std::runtime_error {
public:
    explicit Error(encoderfile_error *error)
        : std::runtime_error(encoderfile_error_message(error)),
          status(encoderfile_error_status(error))
    {
        encoderfile_error_free(error);
    }

    const encoderfile_status status;
};

// A model, which is closed with its owner.
class Model {
public:
    explicit Model(std::string_view path, std::size_t threads = 0)
    {
        encoderfile_error *error = nullptr;
        if (encoderfile_open(path.data(), path.size(), threads, &model_, &error))
            throw Error(error);
    }

    Model(Model &&other) noexcept : model_(std::exchange(other.model_, 0)) {}

    Model &operator=(Model &&other) noexcept
    {
        std::swap(model_, other.model_);
        return *this;
    }

    ~Model() { encoderfile_close(model_); }

    std::size_t dimensions() const
    {
        std::size_t dimensions;
        encoderfile_error *error = nullptr;
        if (encoderfile_dimensions(model_, &dimensions, &error))
            throw Error(error);
        return dimensions;
    }

    // [texts, dimensions], row-major.
    std::vector<float> encode(const std::vector<std::string_view> &texts,
                              std::string_view options = {}) const
    {
        std::vector<encoderfile_text> inputs;
        for (auto text : texts)
            inputs.push_back({text.data(), text.size()});
        std::vector<float> rows(texts.size() * dimensions());
        encoderfile_error *error = nullptr;
        if (encoderfile_encode(model_, inputs.data(), inputs.size(), options.data(), options.size(),
                               rows.data(), rows.size(), &error))
            throw Error(error);
        return rows;
    }

    // The answer to a request in the form of /predict.
    std::string infer(std::string_view request) const
    {
        char *json = nullptr;
        std::size_t length = 0;
        encoderfile_error *error = nullptr;
        if (encoderfile_infer_json(model_, request.data(), request.size(), &json, &length, &error))
            throw Error(error);
        std::string answer(json, length);
        encoderfile_string_free(json);
        return answer;
    }

private:
    encoderfile_model model_ = 0;
};

}  // namespace encoderfile

int main(int argc, char **argv)
try {
    if (argc < 4) {
        std::fprintf(stderr, "usage: %s MODEL QUERY TEXT...\n", argv[0]);
        return 2;
    }
    const encoderfile::Model model(argv[1]);
    const std::vector<std::string_view> texts(argv + 2, argv + argc);
    const auto rows = model.encode(texts, R"({"normalize": true})");
    const auto width = model.dimensions();

    std::vector<std::pair<float, std::string_view>> hits;
    for (std::size_t i = 1; i < texts.size(); i++) {
        const auto row = rows.begin() + static_cast<std::ptrdiff_t>(i * width);
        hits.emplace_back(
            std::inner_product(row, row + static_cast<std::ptrdiff_t>(width), rows.begin(), 0.0f),
            texts[i]);
    }
    std::stable_sort(hits.begin(), hits.end(),
                     [](const auto &a, const auto &b) { return a.first > b.first; });
    for (const auto &[score, text] : hits)
        std::printf("%.4f  %.*s\n", score, static_cast<int>(text.size()), text.data());
} catch (const encoderfile::Error &error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
}
