/* Ranks texts by their similarity to a query: search MODEL QUERY TEXT... */

#include <encoderfile.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct hit {
    float score;
    const char *text;
};

static int best_first(const void *a, const void *b)
{
    float left = ((const struct hit *)a)->score, right = ((const struct hit *)b)->score;
    return (left < right) - (left > right);
}

static int fail(encoderfile_error *error)
{
    fprintf(stderr, "error: %s\n", encoderfile_error_message(error));
    encoderfile_error_free(error);
    return 1;
}

/* The query and the texts in one call, and the product of the query's row with each other. */
static int search(encoderfile_model model, char **texts, size_t count)
{
    static const char options[] = "{\"normalize\": true}";
    encoderfile_error *error = NULL;
    size_t width;
    if (encoderfile_dimensions(model, &width, &error))
        return fail(error);

    encoderfile_text *inputs = calloc(count, sizeof *inputs);
    float *rows = calloc(count * width + 1, sizeof *rows);
    struct hit *hits = calloc(count, sizeof *hits);
    for (size_t i = 0; i < count; i++)
        inputs[i] = (encoderfile_text){.data = texts[i], .len = strlen(texts[i])};
    if (!encoderfile_encode(model, inputs, count, options, strlen(options), rows, count * width,
                            &error)) {
        for (size_t i = 1; i < count; i++) {
            hits[i].text = texts[i];
            for (size_t j = 0; j < width; j++)
                hits[i].score += rows[j] * rows[i * width + j];
        }
        qsort(hits + 1, count - 1, sizeof *hits, best_first);
        for (size_t i = 1; i < count; i++)
            printf("%.4f  %s\n", hits[i].score, hits[i].text);
    }
    free(hits);
    free(rows);
    free(inputs);
    return error ? fail(error) : 0;
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: %s MODEL QUERY TEXT...\n", argv[0]);
        return 2;
    }
    if (encoderfile_abi_version() != ENCODERFILE_ABI_VERSION) {
        fprintf(stderr, "error: libencoderfile %s is another interface\n", encoderfile_version());
        return 1;
    }
    encoderfile_model model;
    encoderfile_error *error = NULL;
    if (encoderfile_open(argv[1], strlen(argv[1]), 0, &model, &error))
        return fail(error);
    int code = search(model, argv + 2, (size_t)argc - 2);
    encoderfile_close(model);
    return code;
}
